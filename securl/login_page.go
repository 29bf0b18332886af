package securl

// LoginPage is the sign-in page, in English and French by the visitor's choice of language.
type LoginPage struct {
	// UserName asks for a user name, too. Default: the password only.
	UserName bool
	// Title of the page. Default "Sign in", in the visitor's language.
	Title string
	// Brand stands above the title, such as the name of the company. Default none.
	Brand string
}
