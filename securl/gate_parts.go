package securl

// LoginPage, Throttle, XMPL and Event are the parts of a Gate.
type (
	LoginPage struct{}
	Throttle  struct{}
	XMPL      struct{}
	Event     struct{}
)
