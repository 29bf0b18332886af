package securl_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/securl"
)

// The settings of a project are judged as they are typed.
func ExampleProject_Validate() {
	p := securl.Project{
		SecURL: securl.On, HTTPS: securl.On, XMPL: "2.4", Product: securl.Site,
		RecipientKey: "[[firstname]].[[lastname]]",
		SiteURL:      "https://www.example.com/spring/", LoginURL: "https://www.example.com/spring/login.html",
	}
	for _, f := range p.Validate().Failed(connsec.Medium) {
		fmt.Println(f.Severity, f.Rule.ID+":", f.Detail)
	}
	// Output:
	// high securl-xmpl-too-old: it is 2.4, and SecURL needs 3.0
	// medium securl-recipient-key-guessable: the pattern is made of what others know or can count: firstname, lastname
	// medium securl-md5-weak: the method is unsalted MD5, the only one that Circle offers
}

// The login page goes into xmpcustom.js.
func ExampleCustomScript() {
	src, err := securl.CustomScript("https://www.example.com/spring/login.html")
	fmt.Printf("%s\n%v\n", src, err)
	_, err = securl.CustomScript("http://www.example.com/spring/login.html")
	fmt.Println(err)
	// Output:
	// var xmpcustom = {
	// 	loginUrl: 'https://www.example.com/spring/login.html'
	// }
	// <nil>
	// securl: the login address cannot be used: it begins with http://, so the password page can be replaced on the path
}

// shop is where a product keeps what its pages show.
type shop struct{}

func (shop) Values(_ context.Context, rid string, _ []string) (map[string]string, error) {
	return map[string]string{"First": "Ann"}, nil
}

func (shop) SetValues(_ context.Context, rid string, v map[string]string) error { return nil }

// A site whose pages use the XMPL library, behind a gate that also answers the library.
func ExampleXMPL() {
	gate := securl.Gate{
		Recipients: recipients{}, // the customer's database
		Base:       "/spring/",
		Public:     []string{"css/", "deps/"},
		XMPL: &securl.XMPL{
			ADORs:        shop{},
			AccessToken:  "30000001-0000-4000-8000-abc000000001_30000002-0000-4000-8000-abc000000002_0123456789abcdef0123456789abcdef",
			PasswordADOR: "Password",
			ReadOnly:     []string{"UserName"},
		},
	}
	handler, err := gate.Handler(http.FileServer(http.Dir("site")))
	fmt.Println(handler != nil, err)
	// Output: true <nil>
}
