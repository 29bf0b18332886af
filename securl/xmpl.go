package securl

// XMPL is the part of the XMPL REST interface that sites use.
type XMPL struct{}

// mounts returns what is served beside the site. Handlers find the visitor's address with
// visitorOf, sign in with the door, and read recipient keys out of URLs with
// site.recipientKey. The gate has then seen to HTTPS and to the form of the path.
func (x *XMPL) mounts(d *door, s *site) ([]mount, error) { return nil, nil }
