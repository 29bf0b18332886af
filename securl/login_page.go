package securl

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"
)

// LoginPage is the sign-in page, in English and French by the visitor's choice of language. It
// needs no scripts.
type LoginPage struct {
	// UserName asks for a user name, too. Default: the password only.
	UserName bool
	// Title of the page. Default "Sign in", in the visitor's language.
	Title string
	// Brand stands above the title, such as the name of the company. Default none.
	Brand string
	// Help stands below the form, such as whom to ask about a lost password. Default none.
	Help string
}

// message is one of the things that a page of the gate can say.
type message uint8

const (
	msgNone message = iota
	msgWrong
	msgThrottled
	msgStale
	msgEnded
	// From here on they are pages of their own.
	msgNoRID
	msgDamaged
	msgSignInFirst
	msgCrossOrigin
	msgNotFound
	msgNotAllowed
	msgBadForm
	msgUnavailable
	msgSignOut
	msgSignedOut
)

// words are the texts in one language.
type words struct {
	Lang, Title, User, Password, Submit, SignOut string
	Error                                        string    // stands before the title of a page with a message about one
	seconds, minutes                             [2]string // one, more
	messages                                     [msgSignedOut + 1][2]string
}

// wordsEnglish and wordsFrench hold for each message what it is about and what to do. %s is a
// duration. French has no participles that would have to know who reads them.
var wordsEnglish = &words{
	Lang: "en", Title: "Sign in", User: "User name", Password: "Password", Submit: "Sign in", SignOut: "Sign out", Error: "Error: ",
	seconds: [2]string{"%d second", "%d seconds"},
	minutes: [2]string{"%d minute", "%d minutes"},
	messages: [...][2]string{
		msgNone:        {},
		msgWrong:       {"", "These details are not correct. Check them and try again."},
		msgThrottled:   {"", "Too many attempts. Try again in %s."},
		msgStale:       {"", "This page was open for too long, or your browser keeps no cookies. Please try again."},
		msgEnded:       {"", "Your session has ended. Please sign in again."},
		msgNoRID:       {"Your personal link is needed", "This site opens with the personal link that you received. Please use that link."},
		msgDamaged:     {"This link is damaged", "Please use the personal link that you received, exactly as it is."},
		msgSignInFirst: {"You are not signed in", "Nothing was saved. Open your personal link and sign in first."},
		msgCrossOrigin: {"Refused", "This request came from another site."},
		msgNotFound:    {"Not found", "There is no such page here."},
		msgNotAllowed:  {"Not possible", "This page cannot be used in this way."},
		msgBadForm:     {"Something went wrong", "The form did not arrive as it should. Open your personal link and try again."},
		msgUnavailable: {"Not available at the moment", "Please try again in a few minutes."},
		msgSignOut:     {"Sign out", "You will be signed out on all your devices."},
		msgSignedOut:   {"You are signed out", "To come back, open your personal link."},
	},
}

var wordsFrench = &words{
	Lang: "fr", Title: "Connexion", User: "Nom d’utilisateur", Password: "Mot de passe", Submit: "Se connecter", SignOut: "Se déconnecter", Error: "Erreur\u00a0: ",
	seconds: [2]string{"%d seconde", "%d secondes"},
	minutes: [2]string{"%d minute", "%d minutes"},
	messages: [...][2]string{
		msgNone:        {},
		msgWrong:       {"", "Ces informations ne sont pas correctes. Vérifiez-les et réessayez."},
		msgThrottled:   {"", "Trop de tentatives. Réessayez dans %s."},
		msgStale:       {"", "Cette page est restée ouverte trop longtemps, ou votre navigateur refuse les cookies. Veuillez réessayer."},
		msgEnded:       {"", "Votre session est terminée. Veuillez vous reconnecter."},
		msgNoRID:       {"Lien personnel requis", "Pour accéder à ce site, veuillez utiliser le lien personnel que vous avez reçu."},
		msgDamaged:     {"Ce lien n’est pas valide", "Veuillez utiliser le lien personnel que vous avez reçu, sans le modifier."},
		msgSignInFirst: {"Connexion requise", "Rien n’a été enregistré. Ouvrez votre lien personnel et connectez-vous d’abord."},
		msgCrossOrigin: {"Demande refusée", "Cette demande provient d’un autre site."},
		msgNotFound:    {"Page introuvable", "Cette page n’existe pas."},
		msgNotAllowed:  {"Action impossible", "Cette page ne peut pas être utilisée de cette façon."},
		msgBadForm:     {"Une erreur s’est produite", "Le formulaire n’a pas été reçu correctement. Ouvrez votre lien personnel et réessayez."},
		msgUnavailable: {"Service momentanément indisponible", "Veuillez réessayer dans quelques minutes."},
		msgSignOut:     {"Se déconnecter", "La déconnexion vaudra pour tous vos appareils."},
		msgSignedOut:   {"Déconnexion réussie", "Pour revenir, ouvrez votre lien personnel."},
	},
}

// duration returns a wait in words: seconds below two minutes, and never too short.
func (t *words) duration(d time.Duration) string {
	n, forms := int(math.Ceil(d.Seconds())), t.seconds
	if n >= 120 {
		n, forms = (n+59)/60, t.minutes
	}
	form := forms[1]
	if n == 1 {
		form = forms[0]
	}
	return fmt.Sprintf(form, n)
}

// pageStyle has no colour of its own outside the two blocks of variables. Text has a contrast of
// at least 4.5:1 and borders of 3:1 (WCAG 2.2, criteria 1.4.3 and 1.4.11), which a test computes.
const pageStyle = `:root{color-scheme:light dark;--bg:#ffffff;--fg:#1b1b1f;--soft:#54565c;--edge:#72757c;--act:#0a4fb5;--on:#ffffff;--bad:#a3161f}
@media (prefers-color-scheme:dark){:root{--bg:#131417;--fg:#eeeef2;--soft:#b4b7bf;--edge:#8b8f98;--act:#a9c8ff;--on:#0a2550;--bad:#ffb3ae}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:flex;justify-content:center;background:var(--bg);color:var(--fg);font:1rem/1.5 system-ui,sans-serif}
main{width:100%;max-width:26rem;padding:clamp(1rem,8vh,5rem) 1rem 2rem;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}
.brand{margin:0 0 .25rem;color:var(--soft)}
.help{margin:1.5rem 0 0;color:var(--soft)}
.note{margin:0 0 1rem;padding:.625rem .75rem;border:1px solid;border-radius:.375rem}
.bad{color:var(--bad)}
label{display:block;margin:1rem 0 .25rem;font-weight:600}
input{width:100%;min-height:2.75rem;padding:.5rem .75rem;border:1px solid var(--edge);border-radius:.375rem;background:var(--bg);color:var(--fg);font:inherit}
input[hidden]{display:none}
button{width:100%;min-height:2.75rem;margin-top:1.5rem;padding:.5rem .75rem;border:1px solid var(--act);border-radius:.375rem;background:var(--act);color:var(--on);font:inherit;font-weight:600;cursor:pointer}
:focus-visible{outline:3px solid var(--act);outline-offset:2px}
`

const pageTemplate = `<!doctype html>
<html lang="{{.Words.Lang}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{{with .Form}}{{if .Bad}}{{$.Words.Error}}{{end}}{{end}}{{.Title}}{{with .Brand}} – {{.}}{{end}}</title>
<link rel="icon" href="data:,">
<style>` + pageStyle + `</style>
</head>
<body>
<main>
{{with .Brand}}<p class="brand">{{.}}</p>
{{end}}<h1>{{.Title}}</h1>
{{with .Form -}}
{{with .Note}}<p class="note{{if $.Form.Bad}} bad{{end}}" id="note" role="{{if $.Form.Bad}}alert{{else}}status{{end}}">{{.}}</p>
{{end}}<form method="post" action="{{$.Base}}login">
{{if $.UserName}}<input type="hidden" name="rid" value="{{.RID}}">
{{else}}<input type="text" name="rid" value="{{.RID}}" autocomplete="username" readonly hidden>
{{end}}<input type="hidden" name="iid" value="{{.IID}}">
<input type="hidden" name="to" value="{{.Target}}">
<input type="hidden" name="token" value="{{.Token}}">
{{if $.UserName}}<label for="user">{{$.Words.User}}</label>
<input id="user" name="user" type="text" value="{{.User}}" autocomplete="username" autocapitalize="none" spellcheck="false" required{{if not .User}} autofocus{{end}}{{if .Note}} aria-describedby="note"{{end}}{{if .Wrong}} aria-invalid="true"{{end}}>
{{end}}<label for="password">{{$.Words.Password}}</label>
<input id="password" name="password" type="password" autocomplete="current-password" required{{if or .User (not $.UserName)}} autofocus{{end}}{{if .Note}} aria-describedby="note"{{end}}{{if .Wrong}} aria-invalid="true"{{end}}>
<button type="submit">{{$.Words.Submit}}</button>
</form>
{{with $.Help}}<p class="help">{{.}}</p>
{{end}}{{else -}}
<p>{{.Text}}</p>
{{if .SignOut}}<form method="post" action="{{.Base}}signout"><button type="submit">{{.Words.SignOut}}</button></form>
{{end}}{{end}}</main>
{{if .Left}}<img src="{{.Left}}" alt="" hidden>
{{end}}</body>
</html>
`

// pages writes the gate's own pages.
type pages struct {
	login   LoginPage
	base    string
	policy  string
	tmpl    *template.Template
	matcher language.Matcher

	formTime time.Duration
}

func newPages(login LoginPage, base string) (*pages, error) {
	tmpl, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256([]byte(pageStyle))
	return &pages{
		login: login, base: base, tmpl: tmpl, formTime: defaultFormTime,
		// img-src is for the picture after a session, and for the empty icon, which spares a
		// request for one that is closed.
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
			"'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
		matcher: language.NewMatcher([]language.Tag{language.English, language.French}),
	}, nil
}

// words returns the texts for a visitor.
func (p *pages) words(r *http.Request) *words {
	accept := r.Header.Get("Accept-Language")
	if len(accept) > 256 {
		accept = "" // no browser's
	}
	if _, i := language.MatchStrings(p.matcher, accept); i == 1 {
		return wordsFrench
	}
	return wordsEnglish
}

// pageData is what the template shows.
type pageData struct {
	Words              *words
	Base, Brand, Title string
	Help               string
	UserName, SignOut  bool
	Text               string
	Left               string // address of the picture that makes browsers forget, or ""
	Form               *formData
}

// formData is the sign-in form.
type formData struct {
	RID, IID, Target, Token, User string
	Note                          string
	Bad, Wrong                    bool

	note  message
	wait  time.Duration
	after bool // a session in this browser has ended
}

func (p *pages) form(w http.ResponseWriter, r *http.Request, status int, f formData) {
	t := p.words(r)
	f.Note = t.messages[f.note][1]
	f.Bad = f.note != msgNone && f.note != msgEnded
	f.Wrong = f.note == msgWrong
	if !p.login.UserName {
		f.User = ""
	}
	if f.note == msgThrottled {
		f.Note = strings.Replace(f.Note, "%s", t.duration(f.wait), 1)
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.wait.Seconds()))))
	}
	p.write(w, r, status, pageData{Words: t, Title: p.login.Title, Form: &f, Left: p.left(f.after || f.note == msgEnded)})
}

func (p *pages) message(w http.ResponseWriter, r *http.Request, status int, m message) {
	p.messageAfter(w, r, status, m, m == msgSignedOut)
}

// messageAfter is message. After says that a session in this browser has ended; see guard.left.
func (p *pages) messageAfter(w http.ResponseWriter, r *http.Request, status int, m message, after bool) {
	t := p.words(r)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "60")
	}
	p.write(w, r, status, pageData{Words: t, Title: t.messages[m][0], Text: t.messages[m][1], SignOut: m == msgSignOut, Left: p.left(after)})
}

// left is the address of the picture, on pages that follow a session.
func (p *pages) left(ended bool) string {
	if !ended {
		return ""
	}
	return p.base + signOutName + "?" + leftQuery
}

func (p *pages) write(w http.ResponseWriter, r *http.Request, status int, d pageData) {
	d.Base, d.Brand, d.Help, d.UserName = p.base, p.login.Brand, p.login.Help, p.login.UserName
	if d.Title == "" {
		d.Title = d.Words.Title
	}
	var body bytes.Buffer
	if err := p.tmpl.Execute(&body, d); err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	h.Set("Content-Language", d.Words.Lang)
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Language")
	h.Set("X-Robots-Tag", "noindex")
	p.limitBody(w, r)
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}
