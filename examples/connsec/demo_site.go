package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The demo's Circle site: a page and the xmpcfg.js that Circle gives for download. SCHEME
// stands where a site that was never switched says http.
var demoSite = map[string]string{
	"xmpcfg.js": `var xmpcfg = {access: { accessToken: '20000001-0000-4000-8000-abc000000001_20000002-0000-4000-8000-abc000000002_0123456789abcdef0123456789abcdef', url: 'SCHEME://marketing.example.com/XMPieXMPL_REST_API', circleProjectID:'20000002-0000-4000-8000-abc000000002', circleProjectName: 'Spring' }};
`,
	"index.html": `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Spring</title>
<script src="SCHEME://marketing.example.com/jquery.min.js"></script>
<script src="https://ajax.xmcircle.com/ajax/libs/xmpl/3.1.4/xmp/js/xmp.min.js"></script>
<script src="xmpcfg.js"></script>
</head>
<body ng-controller="XMPPersonalizedPage">
<p>Hello <span xmp-text="{{xmp.r['FirstName']}}">you</span></p>
<img src="SCHEME://marketing.example.com/spring.jpg" alt="">
</body>
</html>
`,
}

// site writes the Circle site and names it in the deployment file.
func (s *stage) site(scheme string) error {
	dir := filepath.Join(s.dir, "site")
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	for name, text := range demoSite {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "SCHEME", scheme)), 0o600); err != nil {
			return fmt.Errorf("the demo's site: %w", err)
		}
	}
	s.add("circle:\n  - dir: site\n    project: {name: Spring, https: on, securl: off, site_url: \"https://marketing.example.com/spring\", friendly_url: suffix, xmpl: \"3.5\"}\n")
	return nil
}
