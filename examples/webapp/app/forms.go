package app

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/pgrevoke/revoke/revokehttp"
)

// form is a form as a page shows it.
type form struct {
	Title, Lead, Action, Button string
	Fields                      []field
	ReturnTo                    string // the path to go to after the sign-in
	Other                       *link
}

// field is an input of a form, with what is wrong with it.
type field struct {
	Name, Label, Type, Autocomplete, Hint string
	Value, Problem                        string
	Focus                                 bool
}

// link is a question with another page as the answer.
type link struct{ Question, Path, Link string }

var (
	nameField    = field{Name: "name", Label: "Name", Type: "text", Autocomplete: "username"}
	currentField = field{Name: "password", Label: "Password", Type: "password", Autocomplete: "current-password"}
	chosenField  = field{
		Name: "new-password", Label: "Password", Type: "password", Autocomplete: "new-password",
		Hint: fmt.Sprintf("At least %d characters. Some words in a row are fine.", minPassword),
	}
)

var (
	signInForm = form{
		Title: "Sign in", Lead: "Welcome back.", Action: "/sign-in", Button: "Sign in",
		Fields: []field{nameField, currentField},
		Other:  &link{"New here?", "/sign-up", "Create an account"},
	}
	signUpForm = form{
		Title: "Create an account", Lead: "A name and a password, and nothing else.", Action: "/sign-up", Button: "Create the account",
		Fields: []field{nameField, chosenField},
		Other:  &link{"You have one?", "/sign-in", "Sign in"},
	}
	passwordForm = form{
		Title: "Change your password", Lead: "This signs you out on every other device.", Action: "/password", Button: "Change the password",
		Fields: []field{currentField.labelled("Current password"), chosenField.labelled("New password")},
	}
)

func (f field) labelled(label string) field {
	f.Label = label
	return f
}

// formError refuses a form, and says to the user why, next to a field. The page with the form is
// what the browser asked for, so the status is 200: 4xx would be an error in its console.
type formError struct {
	status      int // 200, or 429 after too many attempts
	field, text string
}

// Error returns the text for the user.
func (e *formError) Error() string { return e.text }

func wrong(field, text string) *formError {
	return &formError{http.StatusOK, field, text}
}

// filled returns the form with what the request has sent, but for passwords, and what is wrong.
func (f form) filled(r *http.Request, err *formError) form {
	f.Fields = slices.Clone(f.Fields)
	f.ReturnTo = r.FormValue(revokehttp.ReturnParameter)
	focus := 0
	for i := range f.Fields {
		field := &f.Fields[i]
		if field.Type != "password" {
			field.Value = r.PostFormValue(field.Name)
		}
		if err != nil && err.field == field.Name {
			field.Problem, focus = err.text, i
		}
	}
	f.Fields[focus].Focus = true
	return f
}

// show shows the empty form.
func (a *App) show(f form) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		return a.render(w, r, http.StatusOK, formPage, page{Title: f.Title, Form: f.filled(r, nil)})
	}
}

// submit carries the form out, or shows it again with what is wrong.
func (a *App) submit(f form, carryOut handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := carryOut(w, r)
		if refused := (*formError)(nil); errors.As(err, &refused) {
			return a.render(w, r, refused.status, formPage, page{Title: f.Title, Form: f.filled(r, refused)})
		}
		return err
	}
}
