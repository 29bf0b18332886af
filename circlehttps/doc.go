// Package circlehttps switches an XMPie Circle web site to HTTPS and shows that nothing in it
// still speaks HTTP.
//
// Ticking "Use HTTPS" in a Circle project changes one letter in one file, xmpcfg.js, and that
// file has to be downloaded and copied into the site by hand. Everything else that the site
// says in HTTP stays as it was: a script loaded over http is then blocked by the browser, a
// form sends its fields in the clear, a stale xmpcfg.js sends recipients' passwords in the
// clear. This package finds those places, to the line and column, and mends those that are
// provably safe to mend.
//
// # Entry points
//
//   - [ParseConfig], [ParseCustom] and [SetScheme] read xmpcfg.js and xmpcustom.js and change
//     the scheme of the API address without touching another byte.
//   - [Site.Scan] collects the facts of a site folder, [Scan.Judge] judges them, and
//     [Site.Check] does both.
//   - [Site.Fix] plans the changes, [Changes.Diff] shows them and [Changes.Apply] makes them.
//   - [Live.Probe] looks at the site as it is served.
//   - [Coverage] says what Circle covers by HTTPS, [Activation] lists the steps in order.
//   - [Project.Validate] judges the Circle project's settings alone.
//
// # How a site is read
//
// Files are read by lexers and never executed. HTML is read as a browser's tokenizer does,
// with the scripts, styles, JSON and handlers inside it; comments, visible text, XML
// namespaces, document types and http://localhost are not findings. A JavaScript string is
// judged by its use (fetch, src, location, …) where that can be seen; where it cannot, the
// finding is inconclusive and says so. Strings glued from literals are put together first, and
// markup, styles and JSON in strings, data: addresses, and the strings of server code in pages of
// PHP, ASP and JSP are read, too.
//
// # What is not checked
//
// Addresses that are computed at run time or stored in a database, pages behind a sign-in,
// directives inside JSX, and files that no browser is served as page, style, script, data or
// image markup. UTF-16 files, compressed copies and linked folders are named, not read, and
// then nothing that depends on them passes. The folders .git, .hg, .svn and node_modules are
// left out. What the XMPL server itself does is not visible from a folder.
//
// # Cost
//
// A file is held in memory while it is read, and all files held at one time stay below
// [Site.MaxFile]. Time grows with the length of a text, whatever it holds. One core reads
// about 100 MB of ordinary scripts, or 150 MB of pages and styles, in a second.
//
// # Traces
//
// [Live.Probe] sends a bounded number of GET requests (by default at most 40) to the site,
// and one each to the API address and to port 80, without cookies or credentials. They stand
// in the web server's log under the user agent "connsec". The look at the site's TLS adds the
// handshakes that [tlscheck.Endpoint.Observe] describes, most of them unfinished.
// [VerifyHTTPS] opens one TLS connection to each host and sends nothing in it.
//
// # References
//
// XMPie Circle help, "Circle Security"; XMPie knowledge base 0090, "Circle HTTPS
// configuration prerequisites"; XMPL wiki, "User Authentication (SecURL)"; W3C Mixed Content;
// RFC 6797 (HSTS).
package circlehttps
