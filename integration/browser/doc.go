// Package browser tests what a guard tells browsers, by a browser: which answers Chromium takes
// from its own cache, which cookies it keeps, and where it goes after a form. TestWebapp uses
// examples/webapp. The tests need Chromium, such as Debian's package of that name, and fail without
// it.
package browser
