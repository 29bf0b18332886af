package securl

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/connsec/connsec"
)

var (
	circleGuide = connsec.Citation{Doc: "XMPie Circle help", Section: "Circle website security",
		URL: "https://help.xmpie.com/Circle/Help/en/Build/Security/Circle_Security.htm"}
	charGuide = connsec.Citation{Doc: "Transact-SQL reference", Section: "char and varchar",
		URL: "https://learn.microsoft.com/sql/t-sql/data-types/char-and-varchar-transact-sql"}
	collationGuide = connsec.Citation{Doc: "Transact-SQL reference", Section: "Collation and Unicode support",
		URL: "https://learn.microsoft.com/sql/relational-databases/collations/collation-and-unicode-support"}
	nistVerifiers = connsec.Citation{Doc: "NIST SP 800-63B-4", Section: "3.1.1.2", URL: "https://pages.nist.gov/800-63-4/sp800-63b.html"}
	owaspStorage  = connsec.Citation{Doc: "OWASP Password Storage Cheat Sheet",
		URL: "https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html"}
)

// Rules returns all rules of this package.
func Rules() []*connsec.Rule {
	var rules []*connsec.Rule
	for _, r := range slices.Concat(connsec.RulesOf(columnChecks), connsec.RulesOf(projectChecks), connsec.RulesOf(liveChecks)) {
		if !slices.Contains(rules, r) {
			rules = append(rules, r)
		}
	}
	return rules
}

// Judge applies the rules to the facts about a column.
func (o ColumnObservation) Judge() connsec.Report {
	return connsec.Report{Target: o.Subject, At: o.At, Findings: connsec.Run(o.Subject, o, columnChecks)}
}

// Validate judges the method that a SecURL project is set to, before there is any column.
func (h Hasher) Validate() connsec.Report {
	const subject = "password hashing"
	return connsec.Report{Target: subject, Findings: connsec.Run(subject, h, methodChecks)}
}

var columnChecks = []connsec.Check[ColumnObservation]{
	{Rule: RulePlaintext, Judge: held(judgePlaintext)},
	{Rule: RuleMD5Weak, Judge: held(judgeMD5Weak)},
	{Rule: RuleMixed, Judge: held(judgeMixed)},
	{Rule: RuleDoubleHashed, Judge: held(judgeDoubleHashed)},
	{Rule: RuleWrongFormat, Judge: held(judgeWrongFormat)},
	{Rule: RuleTooNarrow, Judge: judgeTooNarrow},
	{Rule: RuleLossy, Judge: held(judgeLossy)},
	{Rule: RuleTruncated, Judge: held(judgeTruncated)},
	{Rule: RuleGuessable, Judge: held(judgeGuessable)},
}

var methodChecks = []connsec.Check[Hasher]{
	{Rule: RulePlaintext, Judge: func(h Hasher) connsec.Verdict {
		switch h.Method {
		case None:
			return connsec.Failed("the method is none, so passwords are stored as they are")
		case MD5:
			return connsec.Passed("passwords are hashed")
		}
		return connsec.Unknown("%s is no method", h.Method)
	}},
	{Rule: RuleMD5Weak, Judge: func(h Hasher) connsec.Verdict {
		switch h.Method {
		case None:
			return connsec.Skipped("passwords are not hashed at all")
		case MD5:
			return connsec.Failed("the method is unsalted MD5, the only one that Circle offers")
		}
		return connsec.Unknown("%s is no method", h.Method)
	}},
}

// held answers for a column without passwords.
func held(judge func(ColumnObservation) connsec.Verdict) func(ColumnObservation) connsec.Verdict {
	return func(o ColumnObservation) connsec.Verdict {
		if o.values() == 0 {
			return connsec.Skipped("%d rows, and none holds a password", o.Rows)
		}
		return judge(o)
	}
}

// RulePlaintext: SecURL's setting "no hashing" leaves passwords readable.
var RulePlaintext = &connsec.Rule{
	ID: "securl-password-plaintext", Title: "Passwords are stored in plain text",
	Why:      "Whoever reads the table, a backup, an export or a recipient list has the password of every recipient, and of the other places where they use it.",
	Fix:      "Set the SecURL password hashing of the Circle project to MD5, then hash the existing column once (connsec securl migrate, or convert for a list).",
	Severity: connsec.Critical,
	Refs:     []connsec.Citation{circleGuide, nistVerifiers}, Since: "0.1.0",
}

func judgePlaintext(o ColumnObservation) connsec.Verdict {
	if o.Plain == 0 {
		return connsec.Passed("all %d values have the form of a hash", o.values())
	}
	return connsec.Failed("%d of %d values look like plain text", o.Plain, o.values()).With("plain", o.Plain).With("values", o.values())
}

// RuleMD5Weak says what Circle's only method is worth.
var RuleMD5Weak = &connsec.Rule{
	ID: "securl-md5-weak", Title: "Passwords are hashed with unsalted MD5",
	Why: "One graphics card tries more than 100,000 million MD5 passwords a second, so whoever gets the column finds nearly all that people can remember. " +
		"Without salt, equal passwords show as equal, one attempt is against all rows at once, and common ones are looked up in tables.",
	Fix: "Circle offers nothing better in its settings: ask XMPie (request@xmcircle.com) for a salted, slow method. Until then let passwords be long and random, " +
		"guard the table and its backups as if they were plain, and protect nothing of value with them alone.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{circleGuide, nistVerifiers, owaspStorage}, Since: "0.1.0",
}

func judgeMD5Weak(o ColumnObservation) connsec.Verdict {
	switch weak := o.MD5 + o.HexMD5 + o.Other[FormatSpacedMD5] + o.Other[FormatLDAPMD5]; {
	case weak > 0:
		v := connsec.Failed("%d of %d values are unsalted MD5", weak, o.values())
		if o.Duplicates > 0 {
			v.Detail += fmt.Sprintf("; %d values share a password with another row", o.Duplicates)
			v = v.With("duplicate_groups", o.Groups).With("largest_group", o.LargestGroup)
		}
		return v
	case o.otherCount() > 0:
		return connsec.Passed("no hash among %d values is MD5", o.values())
	default:
		return connsec.Skipped("no value is hashed")
	}
}

// RuleMixed: an interrupted or partial conversion.
var RuleMixed = &connsec.Rule{
	ID: "securl-column-mixed", Title: "The password column holds values in several formats",
	Why:      "Circle applies one method to the whole column, so the recipients whose value has another format cannot sign in; a conversion script run over it hashes hashes.",
	Fix:      "Find out which rows are which (connsec securl classify), restore those that were converted wrongly, and convert only the rows in plain text.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{circleGuide}, Since: "0.1.0",
}

func judgeMixed(o ColumnObservation) connsec.Verdict {
	parts := o.formats()
	if len(parts) == 1 {
		return connsec.Passed("all %d values have one format: %s", o.values(), parts[0])
	}
	return connsec.Failed("%d values in %d formats: %s", o.values(), len(parts), strings.Join(parts, ", "))
}

// formats lists the formats found with their numbers, in a stable order.
func (o ColumnObservation) formats() []string {
	count := map[Format]int64{FormatPlain: o.Plain, FormatMD5: o.MD5, FormatHexMD5: o.HexMD5}
	for f, n := range o.Other {
		count[f] += n
	}
	var parts []string
	for f, n := range count {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s (%d)", f, n))
		}
	}
	slices.Sort(parts)
	return parts
}

// RuleDoubleHashed: the guide's script has no guard against a second run.
var RuleDoubleHashed = &connsec.Rule{
	ID: "securl-column-double-hashed", Title: "Passwords were hashed twice",
	Why:      "The hash of a hash matches no password that a recipient can type. It cannot be undone.",
	Fix:      "Restore the column from the copy or backup made before the conversion, or have the recipients set new passwords. Convert with a tool that keeps track of what it has done.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{circleGuide}, Since: "0.1.0",
}

func judgeDoubleHashed(o ColumnObservation) connsec.Verdict {
	switch {
	case o.HashedTwice > 0:
		return connsec.Failed("%d of %d hashes are proved to be hashes of hashes", o.HashedTwice, o.MD5)
	case o.HashedOnce+o.Plain == o.values():
		return connsec.Passed("%d values are plain and %d are proved to be hashed once", o.Plain, o.HashedOnce)
	default:
		return connsec.Unknown("a hash does not show what it was made from; %d of %d are proved to be hashed once, none twice", o.HashedOnce, o.values()-o.Plain)
	}
}

// RuleWrongFormat: hashes that Circle does not make cannot match what it computes.
var RuleWrongFormat = &connsec.Rule{
	ID: "securl-column-wrong-format", Title: "Passwords are hashed in a format that Circle does not use",
	Why:      "Circle compares with 24 characters of base64. Recipients whose value is hexadecimal, or another hash, cannot sign in.",
	Fix:      "Convert hexadecimal MD5 of the same passwords to base64 of the same 16 bytes. Any other hash cannot be converted: have the passwords set anew.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{circleGuide}, Since: "0.1.0",
}

func judgeWrongFormat(o ColumnObservation) connsec.Verdict {
	n := o.HexMD5 + o.otherCount()
	if n == 0 {
		return connsec.Passed("none of %d values is a foreign hash", o.values())
	}
	v := connsec.Failed("%d of %d values are hashes that Circle does not make", n, o.values())
	if o.HexMD5 > 0 {
		v = v.With(string(FormatHexMD5), o.HexMD5)
	}
	for _, f := range slices.Sorted(maps.Keys(o.Other)) {
		v = v.With(string(f), o.Other[f])
	}
	return v
}

// RuleTooNarrow: a hash is longer than most passwords.
var RuleTooNarrow = &connsec.Rule{
	ID: "securl-column-too-narrow", Title: "The password column is too narrow for a hash",
	Why:      "A hash has 24 characters. An update that writes one into a narrower column fails, or cuts it where ANSI_WARNINGS is off, after which no password matches.",
	Fix:      "ALTER TABLE … ALTER COLUMN … VARCHAR(24) or wider, before the conversion and before Circle's hashing is switched on.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{circleGuide, charGuide}, Since: "0.1.0",
}

func judgeTooNarrow(o ColumnObservation) connsec.Verdict {
	switch {
	case o.Width == 0:
		return connsec.Unknown("the width of the column is not known")
	case o.Width < 0:
		return connsec.Passed("the column has no limit that matters")
	case o.Width < HashLength:
		return connsec.Failed("the column holds %d characters, a hash needs %d", o.Width, HashLength)
	}
	return connsec.Passed("the column holds %d characters, a hash needs %d", o.Width, HashLength)
}

// RuleLossy: conversion to the code page replaces what it lacks.
var RuleLossy = &connsec.Rule{
	ID: "securl-password-lossy", Title: "Passwords lose characters in the database's code page",
	Why: "SQL Server replaces characters that the collation lacks by similar ones or question marks before it hashes, so different passwords get the same hash, " +
		"and a password in a foreign script becomes a row of question marks that anyone can type.",
	Fix:      "Use a database whose collation has the characters (_UTF8 since SQL Server 2019), or have these recipients set passwords in ASCII.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{collationGuide}, Since: "0.1.0",
}

func judgeLossy(o ColumnObservation) connsec.Verdict {
	switch {
	case o.Lossy > 0:
		v := connsec.Failed("%d of %d passwords have characters that %s lacks", o.Lossy, o.readable(), o.Collation)
		if o.Colliding > 0 {
			v.Detail += fmt.Sprintf("; %d become equal to a different one", o.Colliding)
		}
		return v
	case o.Unconverted > 0:
		return connsec.Unknown("%d passwords are beyond ASCII and the collation is not known, or are not valid text", o.Unconverted)
	case o.readable() < o.values():
		return connsec.Unknown("%d of %d values are hashed already and do not show what they were made from", o.values()-o.readable(), o.values())
	}
	return connsec.Passed("all %d passwords convert without loss", o.readable())
}

// RuleTruncated: the guide's function takes VARCHAR(250).
var RuleTruncated = &connsec.Rule{
	ID: "securl-password-truncated", Title: "Passwords are longer than what is hashed",
	Why:      "XMPieHashMD5 takes 250 bytes and SQL Server cuts longer arguments without an error, so passwords that begin alike get the same hash.",
	Fix:      "Have these recipients set passwords of at most 250 bytes in the database's code page.",
	Severity: connsec.Medium,
	Refs:     []connsec.Citation{circleGuide, charGuide}, Since: "0.1.0",
}

func judgeTruncated(o ColumnObservation) connsec.Verdict {
	switch {
	case o.TooLong > 0:
		return connsec.Failed("%d of %d passwords are longer than %d bytes", o.TooLong, o.readable(), MaxBytes)
	case o.Unconverted > 0:
		return connsec.Unknown("%d passwords are beyond ASCII and the collation is not known, or are not valid text", o.Unconverted)
	case o.readable() < o.values():
		return connsec.Unknown("%d of %d values are hashed already and do not show how long the password was", o.values()-o.readable(), o.values())
	}
	return connsec.Passed("all %d passwords are at most %d bytes", o.readable(), MaxBytes)
}

// RuleGuessable: what the link to a page or the user name gives away is no password.
var RuleGuessable = &connsec.Rule{
	ID: "securl-password-guessable", Title: "Passwords can be guessed from the recipient ID, the user name or a short list",
	Why:      "The recipient ID stands in the address of the recipient's page, and common passwords are the first that anyone tries.",
	Fix:      "Give these recipients random passwords, and let registration refuse the recipient ID, the user name and common passwords.",
	Severity: connsec.High,
	Refs:     []connsec.Citation{nistVerifiers}, Since: "0.1.0",
}

func judgeGuessable(o ColumnObservation) connsec.Verdict {
	if n := o.EqualID + o.EqualUser + o.Common; n > 0 {
		return connsec.Failed("%d of %d passwords are the recipient ID, the user name or among the most common", n, o.values()).
			With("recipient_id", o.EqualID).With("user_name", o.EqualUser).With("common", o.Common)
	}
	comparable := o.Plain + o.MD5
	switch {
	case comparable < o.values():
		return connsec.Unknown("%d of %d values are hashes that cannot be compared", o.values()-comparable, o.values())
	case o.Compared < o.values():
		return connsec.Unknown("none is among the %d most common, but for %d values there was no recipient ID or user name to compare with", len(commonPasswords), o.values()-o.Compared)
	case o.HashedTwice > 0:
		return connsec.Unknown("%d values are hashes of hashes", o.HashedTwice)
	}
	return connsec.Passed("none of %d is the recipient ID or user name given with it, or among the %d most common", o.values(), len(commonPasswords))
}
