package browser

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/pgrevoke/revoke/internal/testkit"
)

// testNothingForScripts looks for tokens where a script of the page could read them.
func testNothingForScripts(browser context.Context, t *testing.T) {
	t.Helper()
	s := newWebapp(t)
	p := s.profile(browser, t)
	p.signUp("ada")
	found := run[[]any](p, `(async () => [document.cookie, localStorage.length, sessionStorage.length,
		(await indexedDB.databases()).length, (await caches.keys()).length])()`)
	if got := fmt.Sprint(found...); got != fmt.Sprint("", 0., 0., 0., 0.) {
		t.Errorf("a script finds %v in cookies and storages", found)
	}
	cookies, _ := p.cookies()
	page := run[string](p, "fetch('/').then(r => r.text())") + run[string](p, "document.documentElement.outerHTML")
	for name, cookie := range cookies {
		if !cookie.HTTPOnly || !cookie.Secure || cookie.Path != "/" || !strings.HasPrefix(name, "__Host-") {
			t.Errorf("the cookie %s is %+v", name, cookie)
		}
		if strings.Contains(page, cookie.Value) {
			t.Errorf("the page has the value of %s", name)
		}
	}
	if len(cookies) != 2 {
		t.Errorf("there are the cookies %v, want two", cookies)
	}
	p.wantNoErrors()
}

// testKeyboard signs up, signs another device out, changes the password and signs out.
func testKeyboard(browser context.Context, t *testing.T) {
	t.Helper()
	s := newWebapp(t)
	p, other := s.profile(browser, t), s.profile(browser, t)
	p.open("/")
	p.sees("Welcome back.")
	p.tabTo("Create an account")
	p.press(kb.Enter)
	p.sees("A name and a password")
	p.press("ada" + kb.Tab + password + kb.Enter)
	p.sees("Where you are signed in")

	other.signIn(password)
	p.press(kb.Tab)
	p.sees("Skip to the content")
	p.open("/")
	p.sees("Sign out everywhere else")
	p.tabTo("Skip to the content")
	p.press(kb.Enter)
	p.tabTo("Sign out " + label + ", this device")
	p.tabTo("Sign out " + label)
	p.press(kb.Enter)
	p.sees("That device is signed out.")
	other.sees("You were signed out")
	if got := run[string](other, "document.activeElement.innerText"); got != "Sign in again" {
		t.Errorf("the focus is on %q", got)
	}

	p.tabTo("Password")
	p.press(kb.Enter)
	p.sees("Change your password")
	p.press(password + kb.Tab + newPassword + kb.Enter)
	p.sees("Your password is changed")
	p.tabTo("Sign out")
	p.press(kb.Enter)
	p.sees("You are signed out.")
	p.wantNoErrors()
	other.wantNoErrors()
}

// press presses keys.
func (p *tab) press(keys string) {
	p.Helper()
	testkit.Must(p, chromedp.Do(p.context, chromedp.KeyEvent(keys)))
}

// tabTo presses the tabulator until the focus is on the link or button of this name. Each element
// on the way shows that it has the focus.
func (p *tab) tabTo(name string) {
	p.Helper()
	const focused = `(() => {
		const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
		const shows = style.outlineStyle != "none" && parseFloat(style.outlineWidth) >= 2 && box.width > 0 && box.left >= 0;
		return {name: e.ariaLabel ?? e.labels?.[0]?.innerText ?? e.innerText, shows};
	})()`
	for range 30 {
		p.press(kb.Tab)
		got := run[struct {
			Name  string `json:"name"`
			Shows bool   `json:"shows"`
		}](p, focused)
		if !got.Shows {
			p.Errorf("the focus on %q cannot be seen", got.Name)
		}
		if strings.TrimSpace(got.Name) == name {
			return
		}
	}
	p.Fatalf("the tabulator does not lead to %q", name)
}

// testNarrow looks at every page in a narrow window, with long texts, in light and dark.
func testNarrow(browser context.Context, t *testing.T) {
	t.Helper()
	s := newWebapp(t)
	p := s.profile(browser, t)
	testkit.Must(t, chromedp.Do(p.context, chromedp.EmulateViewport(360, 740)))
	wide := func(page string) {
		t.Helper()
		if got := run[int](p, "document.documentElement.scrollWidth"); got > 360 {
			t.Errorf("%s is %d pixels wide", page, got)
		}
	}
	for _, path := range []string{"/sign-in", "/sign-up", "/nowhere"} {
		p.open(path)
		wide(path)
	}
	p.open("/sign-up")
	p.submit("Create the account", "name", "ada..", "new-password", "short")
	p.sees("A password has")
	wide("the form with errors")
	p.signUp(strings.Repeat("m", 32))
	testkit.Exec(t, s.pool, "UPDATE revoke.sessions SET user_agent = '', address = '2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff'")
	for _, path := range []string{"/?password", "/password"} {
		p.open(path)
		wide(path)
	}
	run[chromedp.Void](p, "showOver()")
	wide("the page of a session that is over")
}

// testErrors sends forms that are refused.
func testErrors(browser context.Context, t *testing.T) {
	t.Helper()
	s := newWebapp(t)
	p := s.profile(browser, t)
	p.signUp("ada")
	for _, test := range []struct {
		path, button string
		fields       []string
		field, text  string
	}{
		{"/sign-up", "Create the account", []string{"name", "ada", "new-password", password}, "name", "This name is taken."},
		{"/sign-up", "Create the account", []string{"name", "a b", "new-password", password}, "name", "A name is 1 to 32"},
		{"/sign-up", "Create the account", []string{"name", "bob", "new-password", "short"}, "new-password", "A password has 15 characters at least."},
		{"/sign-in", "Sign in", []string{"name", "ada", "password", "wrong"}, "password", "The name or the password is wrong."},
		{"/sign-in", "Sign in", []string{"name", "nobody", "password", password}, "password", "The name or the password is wrong."},
		{"/password", "Change the password", []string{"password", "wrong", "new-password", newPassword}, "password", "This is not your password."},
		{"/password", "Change the password", []string{"password", password, "new-password", "short"}, "new-password", "A password has 15 characters at least."},
	} {
		p.open(test.path)
		p.submit(test.button, test.fields...)
		p.sees(test.text)
		const described = `(() => {
			const e = document.querySelector("[aria-invalid]"), problem = document.getElementById(e.getAttribute("aria-describedby"));
			return [e.id, problem.innerText, e.type == "password" ? e.value : ""];
		})()`
		got := run[[3]string](p, described)
		if got[0] != test.field || !strings.HasPrefix(got[1], test.text) || got[2] != "" {
			t.Errorf("%s %v: field, problem and value are %q", test.path, test.fields, got)
		}
		testkit.Eventually(t, "the field has the focus", func() bool { return run[string](p, "document.activeElement.id") == test.field })
		if name := run[string](p, "document.getElementById('name')?.value ?? ''"); name != "" && name != test.fields[1] {
			t.Errorf("%s: the name is %q again, want %q", test.path, name, test.fields[1])
		}
	}
	p.wantNoErrors()
	// A try is paid for each minute, so on a slow machine it takes more of them.
	const tooMany = "There were too many attempts."
	for range 100 {
		p.open("/sign-in")
		p.submit("Sign in", "name", "ada", "password", "wrong")
		if strings.Contains(run[string](p, "document.body.innerText"), tooMany) {
			break
		}
	}
	p.sees(tooMany)
}
