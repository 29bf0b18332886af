package securl_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/connsec/connsec/securl"
)

func TestParseCollation(t *testing.T) {
	for _, c := range []struct {
		name string
		page int
	}{
		{"SQL_Latin1_General_CP1_CI_AS", 1252},
		{"sql_latin1_general_cp1_ci_as", 1252},
		{"SQL_Latin1_General_Pref_CP1_CI_AS", 1252},
		{"SQL_Latin1_General_CP1250_CS_AS", 1250},
		{"SQL_Latin1_General_CP437_BIN2", 437},
		{"SQL_Latin1_General_CP1255_CI_AS", 1255},
		{"SQL_AltDiction_CP850_CI_AI", 850},
		{"SQL_AltDiction_Pref_CP850_CI_AS", 850},
		{"SQL_AltDiction2_CP1253_CS_AS", 1253},
		{"SQL_1xCompat_CP850_CI_AS", 850},
		{"SQL_EBCDIC277_2_CP1_CS_AS", 1252},
		{"SQL_Ukrainian_CP1251_CS_AS", 1251},
		{"Latin1_General_CI_AS", 1252},
		{"Latin1_General_BIN", 1252},
		{"Latin1_General_100_CI_AS_KS_WS_SC", 1252},
		{"Latin1_General_100_BIN2_UTF8", 65001},
		{"Latin1_General_100_CI_AI_SC_UTF8", 65001},
		{"Indic_General_100_CI_AS_SC_UTF8", 65001},
		{"Polish_100_CI_AS", 1250},
		{"Hungarian_Technical_CI_AS", 1250},
		{"Cyrillic_General_CS_AS", 1251},
		{"Turkish_100_CI_AS", 1254},
		{"Azeri_Cyrillic_100_CI_AS", 1251},
		{"Azeri_Latin_100_CI_AS", 1254},
		{"Hebrew_CI_AS", 1255},
		{"Persian_100_CI_AS", 1256},
		{"Lithuanian_Classic_CI_AS", 1257},
		{"Vietnamese_CI_AS", 1258},
		{"Thai_CI_AS", 874},
		{"Japanese_XJIS_140_CI_AS_KS_WS_VSS", 932},
		{"Japanese_CI_AS_KS_WS", 932},
		{"Japanese_Unicode_BIN", 932},
		{"Chinese_PRC_Stroke_CI_AS", 936},
		{"Chinese_PRC_90_CI_AS", 936},
		{"Korean_Wansung_CI_AS", 949},
		{"Chinese_Taiwan_Stroke_CI_AS_WS", 950},
		{"Chinese_Hong_Kong_Stroke_90_CI_AS", 950},
		{"CP1252", 1252},
		{"cp65001", 65001},
	} {
		got, err := securl.ParseCollation(c.name)
		require.NoError(t, err, c.name)
		assert.Equal(t, c.page, got.CodePage(), c.name)
		again, err := securl.ParseCollation(got.String())
		require.NoError(t, err)
		assert.Equal(t, got.CodePage(), again.CodePage())
	}
}

func TestParseCollationRefuses(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"Latin1_Generl_CI_AS", `securl: unknown collation "Latin1_Generl_CI_AS": the nearest known names begin with Latin1_General, `},
		{"Japanese_XJS_140_CI_AS", `securl: unknown collation "Japanese_XJS_140_CI_AS": the nearest known names begin with Japanese_XJIS, `},
		{"SQL_Latin1_General_CP1259_CI_AS", `securl: unknown collation "SQL_Latin1_General_CP1259_CI_AS": the nearest known names begin with SQL_Latin1_General_CP1`},
		{"SQL_Latin1_General_CP1_CI", `securl: collation "SQL_Latin1_General_CP1_CI" has no comparison style "_CI": expected SQL_Latin1_General_CP1 with _CI_AS, `},
		{"Latin1_General_110_CI_AS", `securl: collation "Latin1_General_110_CI_AS" has no comparison style "_110_CI_AS": after Latin1_General come `},
		{"Latin1_General_CI_AS_UTF16", `securl: collation "Latin1_General_CI_AS_UTF16" has no comparison style "_CI_AS_UTF16": `},
		{"Latin1_General", `securl: collation "Latin1_General" has no comparison style "": `},
		{"Indic_General_100_CI_AS", `securl: collation Indic_General_100_CI_AS has no code page and cannot hold VARCHAR data: `},
		{"utf8mb4_general_ci", `securl: unknown collation "utf8mb4_general_ci": `},
		{"", `securl: unknown collation "": `},
		{"CP1259", `securl: code page 1259 holds no SQL Server VARCHAR data: use one of 437, 850, 874, 932, `},
		{"CP0", `securl: code page 0 holds `},
	} {
		_, err := securl.ParseCollation(c.name)
		require.Error(t, err, c.name)
		assert.True(t, strings.HasPrefix(err.Error(), c.want), "%s", err)
		assert.NotContains(t, err.Error(), "\n")
	}
}

func ExampleParseCollation() {
	c, err := securl.ParseCollation("Japanese_XJIS_140_CI_AS_VSS")
	fmt.Println(c.CodePage(), err)
	_, err = securl.ParseCollation("Swedish_CI_AS")
	fmt.Println(err)
	// Output:
	// 932 <nil>
	// securl: unknown collation "Swedish_CI_AS": the nearest known names begin with Finnish_Swedish, Welsh, Polish; ask the server with SELECT DATABASEPROPERTYEX(DB_NAME(), 'Collation')
}

func FuzzParseCollation(f *testing.F) {
	f.Add("SQL_Latin1_General_CP1_CI_AS")
	f.Add("Japanese_XJIS_140_CI_AS_KS_WS_VSS_UTF8")
	f.Fuzz(func(t *testing.T, name string) {
		c, err := securl.ParseCollation(name)
		if err != nil {
			require.True(t, c.IsZero())
			require.Less(t, len(err.Error()), 600)
			return
		}
		require.Contains(t, securl.CodePages(), c.CodePage())
		again, err := securl.ParseCollation(c.String())
		require.NoError(t, err)
		require.Equal(t, c.CodePage(), again.CodePage())
	})
}
