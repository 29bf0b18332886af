-- key int
SELECT CAST(t.[R'ID] AS bigint), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t;
CREATE TABLE [dbo].[P] (
 Id tinyint NOT NULL PRIMARY KEY CHECK (Id = 1),
 State varchar(10) NOT NULL,
 Batch bigint NOT NULL,
 Pass int NOT NULL,
 LastKey int NULL,
 RowsSeen bigint NOT NULL,
 RowsHashed bigint NOT NULL,
 CodePage int NOT NULL,
 BackupNote nvarchar(400) NOT NULL,
 CopyTable nvarchar(128) NOT NULL,
 Started datetime NOT NULL,
 Changed datetime NOT NULL);
INSERT INTO [dbo].[P] (Id, State, Batch, Pass, LastKey, RowsSeen, RowsHashed, CodePage, BackupNote, CopyTable, Started, Changed)
 VALUES (1, 'running', 0, 1, NULL, 0, 0, @p1, @p2, @p3, GETUTCDATE(), GETUTCDATE());
SELECT t.[R'ID], t.[Password] INTO [dbo].[Backup] FROM [dbo].[My ]]Recipients] AS t;
SELECT State, Batch, Pass, CAST(LastKey AS bigint), RowsSeen, RowsHashed, CodePage, CopyTable FROM [dbo].[P];
SELECT State, Batch, Pass, CAST(LastKey AS bigint), RowsSeen, RowsHashed, CodePage, CopyTable FROM [dbo].[P] WITH (UPDLOCK, HOLDLOCK);
SELECT TOP (@p1) CAST(t.[R'ID] AS bigint), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t ORDER BY t.[R'ID];
SELECT TOP (@p1) CAST(t.[R'ID] AS bigint), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t WITH (UPDLOCK) WHERE t.[R'ID] > CAST(@p2 AS int) ORDER BY t.[R'ID];
SELECT CAST(t.[R'ID] AS bigint), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t WHERE t.[R'ID] <= CAST(@p1 AS int) ORDER BY t.[R'ID];
SELECT CAST(t.[R'ID] AS bigint), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t WHERE t.[R'ID] <= CAST(@p1 AS int) AND t.[R'ID] > CAST(@p2 AS int) ORDER BY t.[R'ID];
UPDATE t SET [Password] = v.h FROM [dbo].[My ]]Recipients] AS t JOIN (VALUES (@p1, @p2, @p3)) AS v(k, o, h) ON t.[R'ID] = CAST(v.k AS int) WHERE CAST(t.[Password] AS varbinary(max)) = v.o AND DATALENGTH(t.[Password]) = DATALENGTH(v.o);
UPDATE t SET [Password] = v.h FROM [dbo].[My ]]Recipients] AS t JOIN (VALUES (@p1, @p2, @p3), (@p4, @p5, @p6)) AS v(k, o, h) ON t.[R'ID] = CAST(v.k AS int) WHERE CAST(t.[Password] AS varbinary(max)) = v.o AND DATALENGTH(t.[Password]) = DATALENGTH(v.o);
SELECT TOP (1) CAST(x.k AS bigint), x.n FROM (SELECT TOP (@p1) t.[R'ID] AS k, ROW_NUMBER() OVER (ORDER BY t.[R'ID]) AS n FROM [dbo].[My ]]Recipients] AS t ORDER BY t.[R'ID]) AS x ORDER BY x.n DESC;
SELECT TOP (1) CAST(x.k AS bigint), x.n FROM (SELECT TOP (@p1) t.[R'ID] AS k, ROW_NUMBER() OVER (ORDER BY t.[R'ID]) AS n FROM [dbo].[My ]]Recipients] AS t WHERE t.[R'ID] > CAST(@p2 AS int) ORDER BY t.[R'ID]) AS x ORDER BY x.n DESC;
UPDATE t SET [Password] = CAST(N'' AS xml).value('xs:base64Binary(xs:hexBinary(sql:column("d.h")))', 'varchar(24)')
 FROM [dbo].[My ]]Recipients] AS t CROSS APPLY (SELECT HASHBYTES('MD5', CAST(t.[Password] COLLATE DATABASE_DEFAULT AS varchar(250))) AS h) AS d WHERE t.[R'ID] <= CAST(@p1 AS int) AND t.[Password] IS NOT NULL AND NOT (RTRIM(CAST(t.[Password] AS nvarchar(max))) COLLATE Latin1_General_BIN2 LIKE N'[A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][AQgw]==');
UPDATE t SET [Password] = CAST(N'' AS xml).value('xs:base64Binary(xs:hexBinary(sql:column("d.h")))', 'varchar(24)')
 FROM [dbo].[My ]]Recipients] AS t CROSS APPLY (SELECT HASHBYTES('MD5', CAST(t.[Password] COLLATE DATABASE_DEFAULT AS varchar(250))) AS h) AS d WHERE t.[R'ID] <= CAST(@p1 AS int) AND t.[R'ID] > CAST(@p2 AS int) AND t.[Password] IS NOT NULL AND NOT (RTRIM(CAST(t.[Password] AS nvarchar(max))) COLLATE Latin1_General_BIN2 LIKE N'[A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][AQgw]==');
UPDATE [dbo].[P] SET LastKey = CAST(@p1 AS int), RowsSeen = RowsSeen + @p2, RowsHashed = RowsHashed + @p3, Batch = Batch + 1, Changed = GETUTCDATE() WHERE Batch = @p4;
UPDATE [dbo].[P] SET State = 'running', LastKey = NULL, RowsSeen = 0, Pass = Pass + 1, Batch = Batch + 1, Changed = GETUTCDATE() WHERE Batch = @p1;
UPDATE [dbo].[P] SET State = 'done', Batch = Batch + 1, Changed = GETUTCDATE() WHERE Batch = @p1;
SELECT CAST(t.[R'ID] AS bigint), CAST(c.[Password] AS varbinary(max)), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[Backup] AS c JOIN [dbo].[My ]]Recipients] AS t ON t.[R'ID] = c.[R'ID];
-- key uniqueidentifier
SELECT CAST(t.[R'ID] AS binary(16)), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t;
CREATE TABLE [dbo].[P] (
 Id tinyint NOT NULL PRIMARY KEY CHECK (Id = 1),
 State varchar(10) NOT NULL,
 Batch bigint NOT NULL,
 Pass int NOT NULL,
 LastKey uniqueidentifier NULL,
 RowsSeen bigint NOT NULL,
 RowsHashed bigint NOT NULL,
 CodePage int NOT NULL,
 BackupNote nvarchar(400) NOT NULL,
 CopyTable nvarchar(128) NOT NULL,
 Started datetime NOT NULL,
 Changed datetime NOT NULL);
INSERT INTO [dbo].[P] (Id, State, Batch, Pass, LastKey, RowsSeen, RowsHashed, CodePage, BackupNote, CopyTable, Started, Changed)
 VALUES (1, 'running', 0, 1, NULL, 0, 0, @p1, @p2, @p3, GETUTCDATE(), GETUTCDATE());
SELECT t.[R'ID], t.[Password] INTO [dbo].[Backup] FROM [dbo].[My ]]Recipients] AS t;
SELECT State, Batch, Pass, CAST(LastKey AS binary(16)), RowsSeen, RowsHashed, CodePage, CopyTable FROM [dbo].[P];
SELECT State, Batch, Pass, CAST(LastKey AS binary(16)), RowsSeen, RowsHashed, CodePage, CopyTable FROM [dbo].[P] WITH (UPDLOCK, HOLDLOCK);
SELECT TOP (@p1) CAST(t.[R'ID] AS binary(16)), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t ORDER BY t.[R'ID];
SELECT TOP (@p1) CAST(t.[R'ID] AS binary(16)), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t WITH (UPDLOCK) WHERE t.[R'ID] > CAST(@p2 AS uniqueidentifier) ORDER BY t.[R'ID];
SELECT CAST(t.[R'ID] AS binary(16)), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t WHERE t.[R'ID] <= CAST(@p1 AS uniqueidentifier) ORDER BY t.[R'ID];
SELECT CAST(t.[R'ID] AS binary(16)), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t WHERE t.[R'ID] <= CAST(@p1 AS uniqueidentifier) AND t.[R'ID] > CAST(@p2 AS uniqueidentifier) ORDER BY t.[R'ID];
UPDATE t SET [Password] = v.h FROM [dbo].[My ]]Recipients] AS t JOIN (VALUES (@p1, @p2, @p3)) AS v(k, o, h) ON t.[R'ID] = CAST(v.k AS uniqueidentifier) WHERE CAST(t.[Password] AS varbinary(max)) = v.o AND DATALENGTH(t.[Password]) = DATALENGTH(v.o);
UPDATE t SET [Password] = v.h FROM [dbo].[My ]]Recipients] AS t JOIN (VALUES (@p1, @p2, @p3), (@p4, @p5, @p6)) AS v(k, o, h) ON t.[R'ID] = CAST(v.k AS uniqueidentifier) WHERE CAST(t.[Password] AS varbinary(max)) = v.o AND DATALENGTH(t.[Password]) = DATALENGTH(v.o);
SELECT TOP (1) CAST(x.k AS binary(16)), x.n FROM (SELECT TOP (@p1) t.[R'ID] AS k, ROW_NUMBER() OVER (ORDER BY t.[R'ID]) AS n FROM [dbo].[My ]]Recipients] AS t ORDER BY t.[R'ID]) AS x ORDER BY x.n DESC;
SELECT TOP (1) CAST(x.k AS binary(16)), x.n FROM (SELECT TOP (@p1) t.[R'ID] AS k, ROW_NUMBER() OVER (ORDER BY t.[R'ID]) AS n FROM [dbo].[My ]]Recipients] AS t WHERE t.[R'ID] > CAST(@p2 AS uniqueidentifier) ORDER BY t.[R'ID]) AS x ORDER BY x.n DESC;
UPDATE t SET [Password] = CAST(N'' AS xml).value('xs:base64Binary(xs:hexBinary(sql:column("d.h")))', 'varchar(24)')
 FROM [dbo].[My ]]Recipients] AS t CROSS APPLY (SELECT HASHBYTES('MD5', CAST(t.[Password] COLLATE DATABASE_DEFAULT AS varchar(250))) AS h) AS d WHERE t.[R'ID] <= CAST(@p1 AS uniqueidentifier) AND t.[Password] IS NOT NULL AND NOT (RTRIM(CAST(t.[Password] AS nvarchar(max))) COLLATE Latin1_General_BIN2 LIKE N'[A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][AQgw]==');
UPDATE t SET [Password] = CAST(N'' AS xml).value('xs:base64Binary(xs:hexBinary(sql:column("d.h")))', 'varchar(24)')
 FROM [dbo].[My ]]Recipients] AS t CROSS APPLY (SELECT HASHBYTES('MD5', CAST(t.[Password] COLLATE DATABASE_DEFAULT AS varchar(250))) AS h) AS d WHERE t.[R'ID] <= CAST(@p1 AS uniqueidentifier) AND t.[R'ID] > CAST(@p2 AS uniqueidentifier) AND t.[Password] IS NOT NULL AND NOT (RTRIM(CAST(t.[Password] AS nvarchar(max))) COLLATE Latin1_General_BIN2 LIKE N'[A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][AQgw]==');
UPDATE [dbo].[P] SET LastKey = CAST(@p1 AS uniqueidentifier), RowsSeen = RowsSeen + @p2, RowsHashed = RowsHashed + @p3, Batch = Batch + 1, Changed = GETUTCDATE() WHERE Batch = @p4;
UPDATE [dbo].[P] SET State = 'running', LastKey = NULL, RowsSeen = 0, Pass = Pass + 1, Batch = Batch + 1, Changed = GETUTCDATE() WHERE Batch = @p1;
UPDATE [dbo].[P] SET State = 'done', Batch = Batch + 1, Changed = GETUTCDATE() WHERE Batch = @p1;
SELECT CAST(t.[R'ID] AS binary(16)), CAST(c.[Password] AS varbinary(max)), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[Backup] AS c JOIN [dbo].[My ]]Recipients] AS t ON t.[R'ID] = c.[R'ID];
-- key nvarchar(50) COLLATE Latin1_General_CI_AS
SELECT t.[R'ID], CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t;
CREATE TABLE [dbo].[P] (
 Id tinyint NOT NULL PRIMARY KEY CHECK (Id = 1),
 State varchar(10) NOT NULL,
 Batch bigint NOT NULL,
 Pass int NOT NULL,
 LastKey nvarchar(50) COLLATE Latin1_General_CI_AS NULL,
 RowsSeen bigint NOT NULL,
 RowsHashed bigint NOT NULL,
 CodePage int NOT NULL,
 BackupNote nvarchar(400) NOT NULL,
 CopyTable nvarchar(128) NOT NULL,
 Started datetime NOT NULL,
 Changed datetime NOT NULL);
INSERT INTO [dbo].[P] (Id, State, Batch, Pass, LastKey, RowsSeen, RowsHashed, CodePage, BackupNote, CopyTable, Started, Changed)
 VALUES (1, 'running', 0, 1, NULL, 0, 0, @p1, @p2, @p3, GETUTCDATE(), GETUTCDATE());
SELECT t.[R'ID], t.[Password] INTO [dbo].[Backup] FROM [dbo].[My ]]Recipients] AS t;
SELECT State, Batch, Pass, LastKey, RowsSeen, RowsHashed, CodePage, CopyTable FROM [dbo].[P];
SELECT State, Batch, Pass, LastKey, RowsSeen, RowsHashed, CodePage, CopyTable FROM [dbo].[P] WITH (UPDLOCK, HOLDLOCK);
SELECT TOP (@p1) t.[R'ID], CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t ORDER BY t.[R'ID];
SELECT TOP (@p1) t.[R'ID], CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t WITH (UPDLOCK) WHERE t.[R'ID] > CAST(@p2 COLLATE Latin1_General_CI_AS AS nvarchar(50)) ORDER BY t.[R'ID];
SELECT t.[R'ID], CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t WHERE t.[R'ID] <= CAST(@p1 COLLATE Latin1_General_CI_AS AS nvarchar(50)) ORDER BY t.[R'ID];
SELECT t.[R'ID], CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t WHERE t.[R'ID] <= CAST(@p1 COLLATE Latin1_General_CI_AS AS nvarchar(50)) AND t.[R'ID] > CAST(@p2 COLLATE Latin1_General_CI_AS AS nvarchar(50)) ORDER BY t.[R'ID];
UPDATE t SET [Password] = v.h FROM [dbo].[My ]]Recipients] AS t JOIN (VALUES (@p1, @p2, @p3)) AS v(k, o, h) ON t.[R'ID] = CAST(v.k COLLATE Latin1_General_CI_AS AS nvarchar(50)) WHERE CAST(t.[Password] AS varbinary(max)) = v.o AND DATALENGTH(t.[Password]) = DATALENGTH(v.o);
UPDATE t SET [Password] = v.h FROM [dbo].[My ]]Recipients] AS t JOIN (VALUES (@p1, @p2, @p3), (@p4, @p5, @p6)) AS v(k, o, h) ON t.[R'ID] = CAST(v.k COLLATE Latin1_General_CI_AS AS nvarchar(50)) WHERE CAST(t.[Password] AS varbinary(max)) = v.o AND DATALENGTH(t.[Password]) = DATALENGTH(v.o);
SELECT TOP (1) x.k, x.n FROM (SELECT TOP (@p1) t.[R'ID] AS k, ROW_NUMBER() OVER (ORDER BY t.[R'ID]) AS n FROM [dbo].[My ]]Recipients] AS t ORDER BY t.[R'ID]) AS x ORDER BY x.n DESC;
SELECT TOP (1) x.k, x.n FROM (SELECT TOP (@p1) t.[R'ID] AS k, ROW_NUMBER() OVER (ORDER BY t.[R'ID]) AS n FROM [dbo].[My ]]Recipients] AS t WHERE t.[R'ID] > CAST(@p2 COLLATE Latin1_General_CI_AS AS nvarchar(50)) ORDER BY t.[R'ID]) AS x ORDER BY x.n DESC;
UPDATE t SET [Password] = CAST(N'' AS xml).value('xs:base64Binary(xs:hexBinary(sql:column("d.h")))', 'varchar(24)')
 FROM [dbo].[My ]]Recipients] AS t CROSS APPLY (SELECT HASHBYTES('MD5', CAST(t.[Password] COLLATE DATABASE_DEFAULT AS varchar(250))) AS h) AS d WHERE t.[R'ID] <= CAST(@p1 COLLATE Latin1_General_CI_AS AS nvarchar(50)) AND t.[Password] IS NOT NULL AND NOT (RTRIM(CAST(t.[Password] AS nvarchar(max))) COLLATE Latin1_General_BIN2 LIKE N'[A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][AQgw]==');
UPDATE t SET [Password] = CAST(N'' AS xml).value('xs:base64Binary(xs:hexBinary(sql:column("d.h")))', 'varchar(24)')
 FROM [dbo].[My ]]Recipients] AS t CROSS APPLY (SELECT HASHBYTES('MD5', CAST(t.[Password] COLLATE DATABASE_DEFAULT AS varchar(250))) AS h) AS d WHERE t.[R'ID] <= CAST(@p1 COLLATE Latin1_General_CI_AS AS nvarchar(50)) AND t.[R'ID] > CAST(@p2 COLLATE Latin1_General_CI_AS AS nvarchar(50)) AND t.[Password] IS NOT NULL AND NOT (RTRIM(CAST(t.[Password] AS nvarchar(max))) COLLATE Latin1_General_BIN2 LIKE N'[A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][AQgw]==');
UPDATE [dbo].[P] SET LastKey = CAST(@p1 COLLATE Latin1_General_CI_AS AS nvarchar(50)), RowsSeen = RowsSeen + @p2, RowsHashed = RowsHashed + @p3, Batch = Batch + 1, Changed = GETUTCDATE() WHERE Batch = @p4;
UPDATE [dbo].[P] SET State = 'running', LastKey = NULL, RowsSeen = 0, Pass = Pass + 1, Batch = Batch + 1, Changed = GETUTCDATE() WHERE Batch = @p1;
UPDATE [dbo].[P] SET State = 'done', Batch = Batch + 1, Changed = GETUTCDATE() WHERE Batch = @p1;
SELECT t.[R'ID], CAST(c.[Password] AS varbinary(max)), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[Backup] AS c JOIN [dbo].[My ]]Recipients] AS t ON t.[R'ID] = c.[R'ID];
-- key varchar(40) COLLATE Polish_CI_AS
SELECT CAST(t.[R'ID] AS nvarchar(4000)), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t;
CREATE TABLE [dbo].[P] (
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
INSERT INTO [dbo].[P] (Id, State, Batch, Pass, LastKey, RowsSeen, RowsHashed, CodePage, BackupNote, CopyTable, Started, Changed)
 VALUES (1, 'running', 0, 1, NULL, 0, 0, @p1, @p2, @p3, GETUTCDATE(), GETUTCDATE());
SELECT t.[R'ID], t.[Password] INTO [dbo].[Backup] FROM [dbo].[My ]]Recipients] AS t;
SELECT State, Batch, Pass, CAST(LastKey AS nvarchar(4000)), RowsSeen, RowsHashed, CodePage, CopyTable FROM [dbo].[P];
SELECT State, Batch, Pass, CAST(LastKey AS nvarchar(4000)), RowsSeen, RowsHashed, CodePage, CopyTable FROM [dbo].[P] WITH (UPDLOCK, HOLDLOCK);
SELECT TOP (@p1) CAST(t.[R'ID] AS nvarchar(4000)), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t ORDER BY t.[R'ID];
SELECT TOP (@p1) CAST(t.[R'ID] AS nvarchar(4000)), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t WITH (UPDLOCK) WHERE t.[R'ID] > CAST(@p2 COLLATE Polish_CI_AS AS varchar(40)) ORDER BY t.[R'ID];
SELECT CAST(t.[R'ID] AS nvarchar(4000)), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t WHERE t.[R'ID] <= CAST(@p1 COLLATE Polish_CI_AS AS varchar(40)) ORDER BY t.[R'ID];
SELECT CAST(t.[R'ID] AS nvarchar(4000)), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[My ]]Recipients] AS t WHERE t.[R'ID] <= CAST(@p1 COLLATE Polish_CI_AS AS varchar(40)) AND t.[R'ID] > CAST(@p2 COLLATE Polish_CI_AS AS varchar(40)) ORDER BY t.[R'ID];
UPDATE t SET [Password] = v.h FROM [dbo].[My ]]Recipients] AS t JOIN (VALUES (@p1, @p2, @p3)) AS v(k, o, h) ON t.[R'ID] = CAST(v.k COLLATE Polish_CI_AS AS varchar(40)) WHERE CAST(t.[Password] AS varbinary(max)) = v.o AND DATALENGTH(t.[Password]) = DATALENGTH(v.o);
UPDATE t SET [Password] = v.h FROM [dbo].[My ]]Recipients] AS t JOIN (VALUES (@p1, @p2, @p3), (@p4, @p5, @p6)) AS v(k, o, h) ON t.[R'ID] = CAST(v.k COLLATE Polish_CI_AS AS varchar(40)) WHERE CAST(t.[Password] AS varbinary(max)) = v.o AND DATALENGTH(t.[Password]) = DATALENGTH(v.o);
SELECT TOP (1) CAST(x.k AS nvarchar(4000)), x.n FROM (SELECT TOP (@p1) t.[R'ID] AS k, ROW_NUMBER() OVER (ORDER BY t.[R'ID]) AS n FROM [dbo].[My ]]Recipients] AS t ORDER BY t.[R'ID]) AS x ORDER BY x.n DESC;
SELECT TOP (1) CAST(x.k AS nvarchar(4000)), x.n FROM (SELECT TOP (@p1) t.[R'ID] AS k, ROW_NUMBER() OVER (ORDER BY t.[R'ID]) AS n FROM [dbo].[My ]]Recipients] AS t WHERE t.[R'ID] > CAST(@p2 COLLATE Polish_CI_AS AS varchar(40)) ORDER BY t.[R'ID]) AS x ORDER BY x.n DESC;
UPDATE t SET [Password] = CAST(N'' AS xml).value('xs:base64Binary(xs:hexBinary(sql:column("d.h")))', 'varchar(24)')
 FROM [dbo].[My ]]Recipients] AS t CROSS APPLY (SELECT HASHBYTES('MD5', CAST(t.[Password] COLLATE DATABASE_DEFAULT AS varchar(250))) AS h) AS d WHERE t.[R'ID] <= CAST(@p1 COLLATE Polish_CI_AS AS varchar(40)) AND t.[Password] IS NOT NULL AND NOT (RTRIM(CAST(t.[Password] AS nvarchar(max))) COLLATE Latin1_General_BIN2 LIKE N'[A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][AQgw]==');
UPDATE t SET [Password] = CAST(N'' AS xml).value('xs:base64Binary(xs:hexBinary(sql:column("d.h")))', 'varchar(24)')
 FROM [dbo].[My ]]Recipients] AS t CROSS APPLY (SELECT HASHBYTES('MD5', CAST(t.[Password] COLLATE DATABASE_DEFAULT AS varchar(250))) AS h) AS d WHERE t.[R'ID] <= CAST(@p1 COLLATE Polish_CI_AS AS varchar(40)) AND t.[R'ID] > CAST(@p2 COLLATE Polish_CI_AS AS varchar(40)) AND t.[Password] IS NOT NULL AND NOT (RTRIM(CAST(t.[Password] AS nvarchar(max))) COLLATE Latin1_General_BIN2 LIKE N'[A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][A-Za-z0-9+/][AQgw]==');
UPDATE [dbo].[P] SET LastKey = CAST(@p1 COLLATE Polish_CI_AS AS varchar(40)), RowsSeen = RowsSeen + @p2, RowsHashed = RowsHashed + @p3, Batch = Batch + 1, Changed = GETUTCDATE() WHERE Batch = @p4;
UPDATE [dbo].[P] SET State = 'running', LastKey = NULL, RowsSeen = 0, Pass = Pass + 1, Batch = Batch + 1, Changed = GETUTCDATE() WHERE Batch = @p1;
UPDATE [dbo].[P] SET State = 'done', Batch = Batch + 1, Changed = GETUTCDATE() WHERE Batch = @p1;
SELECT CAST(t.[R'ID] AS nvarchar(4000)), CAST(c.[Password] AS varbinary(max)), CAST(t.[Password] AS varbinary(max)) FROM [dbo].[Backup] AS c JOIN [dbo].[My ]]Recipients] AS t ON t.[R'ID] = c.[R'ID];
SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)), DB_NAME(),
 CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS nvarchar(128)),
 CAST(DATABASEPROPERTYEX(DB_NAME(), 'Updateability') AS nvarchar(128));
SELECT c.name, TYPE_NAME(c.system_type_id), CAST(c.max_length AS int), c.is_nullable, c.is_computed, COALESCE(c.collation_name, N'')
 FROM sys.columns AS c JOIN sys.tables AS t ON t.object_id = c.object_id
 WHERE c.object_id = OBJECT_ID(@p1) AND c.name IN (@p2, @p3);
SELECT COUNT(*) FROM sys.indexes AS i
 WHERE i.object_id = OBJECT_ID(@p1) AND i.is_unique = 1 AND i.has_filter = 0 AND i.is_disabled = 0 AND i.is_hypothetical = 0
 AND EXISTS (SELECT 1 FROM sys.index_columns AS k JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id
  WHERE k.object_id = i.object_id AND k.index_id = i.index_id AND k.key_ordinal = 1 AND c.name = @p2)
 AND NOT EXISTS (SELECT 1 FROM sys.index_columns AS k WHERE k.object_id = i.object_id AND k.index_id = i.index_id AND k.key_ordinal > 1);
SELECT CASE WHEN i.is_unique = 1 THEN N'unique index' ELSE N'index' END, i.name
 FROM sys.indexes AS i JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id
 JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id
 WHERE i.object_id = OBJECT_ID(@p1) AND c.name = @p2
UNION ALL SELECT N'trigger', name FROM sys.triggers WHERE parent_id = OBJECT_ID(@p1) AND is_disabled = 0
UNION ALL SELECT N'foreign key', OBJECT_NAME(f.constraint_object_id) FROM sys.foreign_key_columns AS f
 JOIN sys.columns AS c ON (c.object_id = f.parent_object_id AND c.column_id = f.parent_column_id) OR (c.object_id = f.referenced_object_id AND c.column_id = f.referenced_column_id)
 WHERE c.object_id = OBJECT_ID(@p1) AND c.name = @p2
UNION ALL SELECT N'check constraint', k.name FROM sys.check_constraints AS k WHERE k.parent_object_id = OBJECT_ID(@p1) AND k.is_disabled = 0
UNION ALL SELECT N'replication', t.name FROM sys.tables AS t WHERE t.object_id = OBJECT_ID(@p1) AND t.is_replicated = 1
UNION ALL SELECT N'change data capture', t.name FROM sys.tables AS t WHERE t.object_id = OBJECT_ID(@p1) AND t.is_tracked_by_cdc = 1
UNION ALL SELECT N'history table', t.name FROM sys.tables AS t WHERE t.object_id = OBJECT_ID(@p1) AND OBJECTPROPERTY(t.object_id, 'TableTemporalType') = 2;
SELECT COUNT(*) FROM sys.tables WHERE object_id = OBJECT_ID(@p1);
