package securl

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/connsec/connsec/securl/internal/codepage"
)

// UTF8 is the code page number of the collations that end in _UTF8 (SQL Server 2019).
const UTF8 = 65001

// Collation names the code page in which SQL Server holds VARCHAR data. Only the code page
// matters for a hash; case, accent and width sensitivity do not.
//
// The zero value means that the collation is not known. Collations compare with ==.
type Collation struct {
	name string
	page int
}

// NewCollation returns a collation for a code page number: one of [CodePages]. Use it where the
// number is known and the name is not.
func NewCollation(page int) (Collation, error) {
	if page != UTF8 && !slices.Contains(codepage.Numbers(), page) {
		return Collation{}, fmt.Errorf("securl: code page %d holds no SQL Server VARCHAR data: use one of %s", page, numberList(CodePages()))
	}
	return Collation{page: page}, nil
}

// CodePages returns the numbers of all code pages that a SQL Server collation can have.
func CodePages() []int { return append(codepage.Numbers(), UTF8) }

// IsZero reports whether the collation is not known.
func (c Collation) IsZero() bool { return c.page == 0 }

// Name returns the collation's name as it was given, or "" if only the code page is known.
func (c Collation) Name() string { return c.name }

// CodePage returns the number of the code page, 0 if the collation is not known.
func (c Collation) CodePage() int { return c.page }

// String returns the name, or "CP1252" if only the code page is known, or "unknown".
func (c Collation) String() string {
	switch {
	case c.name != "":
		return c.name
	case c.page != 0:
		return "CP" + strconv.Itoa(c.page)
	}
	return "unknown"
}

// MarshalText writes what [ParseCollation] reads; an unknown collation is the empty text.
func (c Collation) MarshalText() ([]byte, error) {
	if c.IsZero() {
		return nil, nil
	}
	return []byte(c.String()), nil
}

// UnmarshalText is [ParseCollation], with the empty text as the unknown collation.
func (c *Collation) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*c = Collation{}
		return nil
	}
	parsed, err := ParseCollation(string(text))
	if err == nil {
		*c = parsed
	}
	return err
}

// ParseCollation knows the code page of every SQL Server collation by its name, in any case:
// SQL collations ("SQL_Latin1_General_CP1_CI_AS"), Windows collations of every version with
// every suffix ("Latin1_General_100_CS_AS_KS_WS_SC", "Japanese_XJIS_140_BIN2"), and those in
// UTF-8. It also takes "CP1252", which is no collation but how [Collation.String] writes one
// whose name is not known.
//
// A collation that has no code page (Windows languages that are written in Unicode only)
// cannot hold VARCHAR data and is refused. An unknown name is refused with the nearest known
// ones: a wrong guess would give wrong hashes.
func ParseCollation(name string) (Collation, error) {
	upper := strings.ToUpper(name)
	if number, ok := strings.CutPrefix(upper, "CP"); ok {
		if n, err := strconv.Atoi(number); err == nil {
			return NewCollation(n)
		}
	}
	if rest, ok := strings.CutPrefix(upper, "SQL_"); ok {
		return parseSQLCollation(name, rest)
	}
	return parseWindowsCollation(name, upper)
}

// sqlCollations are the sort rules of the SQL collations with the code pages that each comes
// in, by the part of the name between "SQL_" and the comparison style. CP1 is 1252; it is the
// only code page that is not written out (Transact-SQL reference, "SQL Server collation name").
var sqlCollations = []struct {
	rules string
	pages []int
}{
	{"1xCompat", []int{850}},
	{"AltDiction", []int{850, 1253}},
	{"AltDiction2", []int{1253}},
	{"AltDiction_Pref", []int{850}},
	{"Croatian", []int{1250}},
	{"Czech", []int{1250}},
	{"Danish_Pref", []int{1252}},
	{"EBCDIC037", []int{1252}},
	{"EBCDIC1141", []int{1252}},
	{"EBCDIC273", []int{1252}},
	{"EBCDIC277", []int{1252}},
	{"EBCDIC277_2", []int{1252}},
	{"EBCDIC278", []int{1252}},
	{"EBCDIC280", []int{1252}},
	{"EBCDIC284", []int{1252}},
	{"EBCDIC285", []int{1252}},
	{"EBCDIC297", []int{1252}},
	{"Estonian", []int{1257}},
	{"Hungarian", []int{1250}},
	{"Icelandic_Pref", []int{1252}},
	{"Latin1_General", []int{437, 850, 1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257}},
	{"Latin1_General_Pref", []int{437, 850, 1252}},
	{"Latvian", []int{1257}},
	{"Lithuanian", []int{1257}},
	{"MixDiction", []int{1253}},
	{"Polish", []int{1250}},
	{"Romanian", []int{1250}},
	{"Scandinavian", []int{850}},
	{"Scandinavian_Pref", []int{850}},
	{"Slovak", []int{1250}},
	{"Slovenian", []int{1250}},
	{"SwedishPhone_Pref", []int{1252}},
	{"SwedishStd_Pref", []int{1252}},
	{"Ukrainian", []int{1251}},
}

func sqlPageName(page int) string {
	if page == 1252 {
		return "CP1"
	}
	return "CP" + strconv.Itoa(page)
}

func parseSQLCollation(name, rest string) (Collation, error) {
	best, style := "", ""
	for _, c := range sqlCollations {
		for _, page := range c.pages {
			stem := c.rules + "_" + sqlPageName(page)
			if tail, ok := strings.CutPrefix(rest, strings.ToUpper(stem)); ok && (tail == "" || tail[0] == '_') {
				if slices.Contains(sqlStyles, tail) {
					return Collation{name, page}, nil
				}
				best, style = stem, tail
			}
		}
	}
	if best != "" {
		return Collation{}, fmt.Errorf("securl: collation %q has no comparison style %q: expected SQL_%s with %s", clip(name), clip(style), best, strings.Join(sqlStyles, ", "))
	}
	return Collation{}, unknownCollation(name)
}

// sqlStyles end the name of a SQL collation.
var sqlStyles = []string{"_CI_AS", "_CS_AS", "_CI_AI", "_BIN", "_BIN2"}

// unicodeOnly is the code page of collations whose languages never had one. SQL Server says 0
// for them and refuses VARCHAR columns (message 459).
const unicodeOnly = -1

// windowsCollations are the collation designators by code page. The order within a page is
// alphabetic.
var windowsCollations = []struct {
	page        int
	designators []string
}{
	{874, []string{"Thai"}},
	{932, []string{"Japanese", "Japanese_Bushu_Kakusu", "Japanese_Unicode", "Japanese_XJIS"}},
	{936, []string{"Chinese_PRC", "Chinese_PRC_Stroke", "Chinese_Simplified_Pinyin", "Chinese_Simplified_Stroke_Order"}},
	{949, []string{"Korean", "Korean_Wansung", "Korean_Wansung_Unicode"}},
	{950, []string{"Chinese_Hong_Kong_Stroke", "Chinese_Taiwan_Bopomofo", "Chinese_Taiwan_Stroke",
		"Chinese_Traditional_Bopomofo", "Chinese_Traditional_Pinyin", "Chinese_Traditional_Stroke_Count", "Chinese_Traditional_Stroke_Order"}},
	{1250, []string{"Albanian", "Bosnian_Latin", "Croatian", "Czech", "Hungarian", "Hungarian_Technical", "Polish",
		"Romanian", "Serbian_Latin", "Slovak", "Slovenian", "Turkmen"}},
	{1251, []string{"Azeri_Cyrillic", "Bashkir", "Bosnian_Cyrillic", "Cyrillic_General", "Kazakh", "Macedonian_FYROM",
		"Serbian_Cyrillic", "Tatar", "Ukrainian", "Yakut"}},
	{1252, []string{"Breton", "Corsican", "Danish_Greenlandic", "Danish_Norwegian", "Finnish_Swedish", "French", "Frisian",
		"Georgian_Modern_Sort", "German_PhoneBook", "Icelandic", "Latin1_General", "Mapudungan", "Modern_Spanish", "Mohawk",
		"Norwegian", "Romansh", "Sami_Norway", "Sami_Sweden_Finland", "Tamazight", "Traditional_Spanish", "Upper_Sorbian", "Welsh"}},
	{1253, []string{"Greek"}},
	{1254, []string{"Azeri_Latin", "Turkish", "Uzbek_Latin"}},
	{1255, []string{"Hebrew"}},
	{1256, []string{"Arabic", "Dari", "Persian", "Uighur", "Urdu"}},
	{1257, []string{"Estonian", "Latvian", "Lithuanian", "Lithuanian_Classic"}},
	{1258, []string{"Vietnamese"}},
	{unicodeOnly, []string{"Assamese", "Bengali", "Divehi", "Indic_General", "Khmer", "Lao", "Maltese", "Maori", "Nepali",
		"Pashto", "Syriac", "Tibetan"}},
}

func parseWindowsCollation(name, upper string) (Collation, error) {
	page, designator, style := 0, "", ""
	for _, group := range windowsCollations {
		for _, d := range group.designators {
			// The longest designator wins: Japanese_XJIS is not Japanese with a suffix XJIS.
			if tail, ok := strings.CutPrefix(upper, strings.ToUpper(d)); ok && (tail == "" || tail[0] == '_') && len(d) > len(designator) {
				page, designator, style = group.page, d, tail
			}
		}
	}
	if designator == "" {
		return Collation{}, unknownCollation(name)
	}
	utf8, ok := windowsStyle(style)
	switch {
	case !ok && nearDesignator(upper) != designator:
		return Collation{}, unknownCollation(name)
	case !ok:
		return Collation{}, fmt.Errorf("securl: collation %q has no comparison style %q: after %s come a version (_90, _100, _140, _160) if it has one, "+
			"then _BIN, _BIN2 or _CI/_CS with _AI/_AS, and then _KS, _WS, _VSS, _SC, _UTF8 as they apply", clip(name), clip(style), designator)
	case utf8:
		return Collation{name, UTF8}, nil
	case page == unicodeOnly:
		return Collation{}, fmt.Errorf("securl: collation %s has no code page and cannot hold VARCHAR data: the database must use another, or its _UTF8 variant", clip(name))
	}
	return Collation{name, page}, nil
}

// windowsStyle parses what follows the designator. The suffixes have one order.
func windowsStyle(style string) (utf8, ok bool) {
	take := func(options ...string) bool {
		for _, o := range options {
			if rest, ok := strings.CutPrefix(style, o); ok && (rest == "" || rest[0] == '_') {
				style = rest
				return true
			}
		}
		return false
	}
	take("_90", "_100", "_140", "_160")
	if !take("_BIN2", "_BIN") {
		if !take("_CI", "_CS") || !take("_AI", "_AS") {
			return false, false
		}
		take("_KS")
		take("_WS")
		take("_VSS")
		take("_SC")
	}
	utf8 = take("_UTF8")
	return utf8, style == ""
}

// nearDesignator returns the known designator nearest to the first words of an unknown name.
func nearDesignator(upper string) string {
	near := nearest(upper, 1)
	if len(near) == 0 {
		return ""
	}
	return near[0]
}

func unknownCollation(name string) error {
	near := nearest(strings.ToUpper(name), 3)
	return fmt.Errorf("securl: unknown collation %q: the nearest known names begin with %s; ask the server with SELECT DATABASEPROPERTYEX(DB_NAME(), 'Collation')",
		clip(name), strings.Join(near, ", "))
}

// nearest returns the stems of known collations that a mistyped name most likely means: those
// that contain its first word, then by edit distance to the name without its style.
func nearest(upper string, most int) []string {
	if len(upper) > 128 { // the longest identifier in SQL Server; bounds the work
		upper = upper[:128]
	}
	words := strings.Split(upper, "_")
	first := words[0]
	for len(words) > 1 && slices.Contains(styleWords, words[len(words)-1]) {
		words = words[:len(words)-1]
	}
	stem := strings.Join(words, "_")
	type candidate struct {
		name string
		far  int
	}
	var all []candidate
	add := func(name string) {
		far := editDistance(stem, strings.ToUpper(name))
		if len(first) >= 4 && slices.Contains(strings.Split(strings.ToUpper(name), "_"), first) {
			far = min(far, 2)
		}
		all = append(all, candidate{name, far})
	}
	for _, group := range windowsCollations {
		for _, d := range group.designators {
			add(d)
		}
	}
	for _, c := range sqlCollations {
		for _, page := range c.pages {
			add("SQL_" + c.rules + "_" + sqlPageName(page))
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.far, b.far) })
	out := make([]string, 0, most)
	for _, c := range all[:min(most, len(all))] {
		out = append(out, c.name)
	}
	return out
}

var styleWords = []string{"CI", "CS", "AI", "AS", "KI", "WI", "KS", "WS", "VSS", "SC", "UTF8", "BIN", "BIN2", "90", "100", "140", "160"}

// editDistance is the least number of insertions, deletions and replacements between a and b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

func numberList(numbers []int) string {
	parts := make([]string, len(numbers))
	for i, n := range numbers {
		parts[i] = strconv.Itoa(n)
	}
	return strings.Join(parts, ", ")
}

// clip bounds foreign text that is echoed in an error.
func clip(s string) string {
	const most = 64
	n := 0
	for i, r := range s {
		size := len(strconv.QuoteRune(r)) - 2
		if r == utf8.RuneError {
			size = 4 // an invalid byte is quoted as \xff
		}
		if n += size; n > most {
			return s[:i] + "…"
		}
	}
	return s
}
