package app

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"

	"github.com/pgrevoke/revoke/revokehttp"
)

//go:embed templates static
var files embed.FS

// The pages, each in the layout.
var (
	formPage    = parse("form.html")
	devicesPage = parse("devices.html")
	messagePage = parse("message.html")
)

func parse(name string) *template.Template {
	return template.Must(template.ParseFS(files, "templates/layout.html", "templates/"+name))
}

// page is what the templates show.
type page struct {
	Title   string
	Path    string // of the request
	User    string // the id of who is signed in, or ""
	Notice  string // what has just been done
	Form    form
	Account string // the name of who is signed in
	Devices []device
	Message string
}

// notices are the texts of Notice, by the query of the URL that a redirect leads to.
var notices = map[string]string{
	"ended":      "That device is signed out.",
	"others":     "You are signed out everywhere else.",
	"password":   "Your password is changed, and you are signed out everywhere else.",
	"signed-out": "You are signed out.",
}

// render writes a page. It is rendered before anything is sent, so that an error can be answered.
func (a *App) render(w http.ResponseWriter, r *http.Request, status int, in *template.Template, p page) error {
	if token, ok := revokehttp.TokenFromContext(r.Context()); ok {
		p.User = token.Subject
	}
	p.Path, p.Notice = r.URL.Path, notices[r.URL.RawQuery]
	var body bytes.Buffer
	if err := in.ExecuteTemplate(&body, "layout", p); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // fails only if the client has disconnected
	return nil
}

// redirect leads the browser to a path of the app after a form.
func redirect(w http.ResponseWriter, path string) error {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", path)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}
