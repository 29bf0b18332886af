-- Hashes the SecURL passwords in [dbo].[Recipients], column [Password], as Circle's method MD5 stores them.
-- Database Campaign, collation SQL_Latin1_General_CP1_CI_AS (code page 1252). 12345 rows when this was written.
--
-- This cannot be undone. It can be interrupted at any time and run again: each batch and the
-- record of it in [dbo].[Recipients_Password_securl] are committed together, and a value that has the form
-- of a hash is never hashed. The last query shows what does not have that form: 0 is right.
-- Backup: 2 March; it's @p3
-- Note: line one DROP TABLE x.
SET NOCOUNT ON;
SET XACT_ABORT ON;
SET ANSI_NULLS, ANSI_PADDING, ANSI_WARNINGS, ARITHABORT, CONCAT_NULL_YIELDS_NULL, QUOTED_IDENTIFIER ON;
SET NUMERIC_ROUNDABORT OFF;
DECLARE @rows int, @last nvarchar(40), @upto nvarchar(40), @state varchar(10), @hashed bigint;

IF CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS nvarchar(128)) <> N'SQL_Latin1_General_CP1_CI_AS'
BEGIN RAISERROR(N'This script was written for a database with another collation.', 16, 1); RETURN; END;

IF OBJECT_ID(N'[dbo].[Recipients_Password_securl]') IS NULL
BEGIN
  IF EXISTS (SELECT 1 FROM [dbo].[Recipients] AS t WHERE RTRIM(CAST(t.[Password] AS nvarchar(max))) COLLATE Latin1_General_BIN2 LIKE N'[A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][AQgw]==')
  BEGIN RAISERROR(N'The column holds hashes already: nothing was changed.', 16, 1); RETURN; END;
  BEGIN TRANSACTION;
  -- The copy holds every password in plain text. Drop it as soon as sign-in has been tried.
  SELECT t.[Id], t.[Password] INTO [dbo].[Backup] FROM [dbo].[Recipients] AS t;
  CREATE TABLE [dbo].[Recipients_Password_securl] (
 Id tinyint NOT NULL PRIMARY KEY CHECK (Id = 1),
 State varchar(10) NOT NULL,
 Batch bigint NOT NULL,
 Pass int NOT NULL,
 LastKey varchar(40) COLLATE Polish_CI_AS NULL,
 RowsSeen bigint NOT NULL,
 RowsHashed bigint NOT NULL,
 CodePage int NOT NULL,
 BackupNote nvarchar(400) NOT NULL,
 CopyTable nvarchar(128) NOT NULL,
 Started datetime NOT NULL,
 Changed datetime NOT NULL);
  INSERT INTO [dbo].[Recipients_Password_securl] (Id, State, Batch, Pass, LastKey, RowsSeen, RowsHashed, CodePage, BackupNote, CopyTable, Started, Changed)
 VALUES (1, 'running', 0, 1, NULL, 0, 0, 1252, N'2 March; it''s @p3', N'Backup', GETUTCDATE(), GETUTCDATE());
  COMMIT TRANSACTION;
END;

WHILE 1 = 1
BEGIN
  BEGIN TRANSACTION;
  SELECT @state = State, @last = LastKey FROM [dbo].[Recipients_Password_securl] WITH (UPDLOCK, HOLDLOCK);
  IF @state = 'done'
  BEGIN ROLLBACK TRANSACTION; RAISERROR(N'The column was migrated before: nothing was changed.', 16, 1); BREAK; END;
  SELECT @upto = NULL, @rows = 0;
  SELECT TOP (1) @upto = x.k, @rows = x.n FROM (SELECT TOP (500) t.[Id] AS k, ROW_NUMBER() OVER (ORDER BY t.[Id]) AS n
    FROM [dbo].[Recipients] AS t WHERE @last IS NULL OR t.[Id] > @last ORDER BY t.[Id]) AS x ORDER BY x.n DESC
    OPTION (RECOMPILE);
  IF @upto IS NULL
  BEGIN
    UPDATE [dbo].[Recipients_Password_securl] SET State = 'done', Batch = Batch + 1, Changed = GETUTCDATE();
    COMMIT TRANSACTION; BREAK;
  END;
  UPDATE t SET [Password] = CAST(N'' AS xml).value('xs:base64Binary(xs:hexBinary(sql:column("d.h")))', 'varchar(24)')
    FROM [dbo].[Recipients] AS t CROSS APPLY (SELECT HASHBYTES('MD5', CAST(t.[Password] COLLATE DATABASE_DEFAULT AS varchar(250))) AS h) AS d
    WHERE (@last IS NULL OR t.[Id] > @last) AND t.[Id] <= @upto AND t.[Password] IS NOT NULL
    AND NOT (RTRIM(CAST(t.[Password] AS nvarchar(max))) COLLATE Latin1_General_BIN2 LIKE N'[A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][AQgw]==')
    OPTION (RECOMPILE);
  SET @hashed = @@ROWCOUNT;
  UPDATE [dbo].[Recipients_Password_securl] SET LastKey = @upto, RowsSeen = RowsSeen + @rows, RowsHashed = RowsHashed + @hashed,
    Batch = Batch + 1, Changed = GETUTCDATE();
  COMMIT TRANSACTION;
END;

-- Verification: rows that hold neither NULL nor a hash.
SELECT COUNT(*) AS NotHashed FROM [dbo].[Recipients] AS t WHERE t.[Password] IS NOT NULL AND NOT (RTRIM(CAST(t.[Password] AS nvarchar(max))) COLLATE Latin1_General_BIN2 LIKE N'[A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][AQgw]==');
