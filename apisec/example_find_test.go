package apisec_test

import (
	"context"
	"fmt"
	"testing/fstest"

	"github.com/connsec/connsec"
	"github.com/connsec/connsec/apisec"
)

func ExampleFind() {
	files := fstest.MapFS{
		"etc/app.conf": {Data: []byte("[api]\nurl = https://central.corp.example\n")},
		"log/http.log": {Data: []byte("GET /\nGET /token?client_secret=Kd83%2Cxkw%2F9f2\n")},
	}
	exposure, err := apisec.Find(context.Background(), files, map[string]connsec.Secret{
		"central": connsec.NewSecret("Kd83,xkw/9f2"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range exposure.Judge().Failed(connsec.High) {
		fmt.Println(f.Source, f.Detail)
	}
	// Output: log/http.log:2:26 central stands here, percent-encoded
}
