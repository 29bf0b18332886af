"""Plants secrets in every encoding and container, by Python's own libraries and other programs.

    plant.py DIR < secrets.json     {"name": "value", ...}

Writes DIR/... and, to standard output, what was planted where: a JSON list of
{"path", "member", "secret", "encoding", "low", "high"}, low and high being where it may begin.
"""
import base64, binascii, bz2, gzip, html, io, json, os, quopri, re, subprocess, sys, tarfile, textwrap, urllib.parse, zipfile
from xml.sax.saxutils import escape, quoteattr


def encodings(s):
    """Yields (name, before, encoded): bytes, the second of which hold the secret."""
    u = s.encode()
    yield "verbatim", b"secret=", u
    yield "quote", b"GET /token?client_secret=", urllib.parse.quote(s, safe="").encode()
    yield "quote_plus", b"client_secret=", urllib.parse.quote_plus(s).encode()
    yield "quote lower", b"s=", re.sub("%..", lambda m: m.group().lower(), urllib.parse.quote(s, safe="")).encode()
    yield "quote all", b"s=", b"".join(b"%%%02X" % c for c in u)
    yield "quote twice", b"redirect=", urllib.parse.quote(urllib.parse.quote(s, safe=""), safe="").encode()
    yield "quote twice lower", b"redirect=", re.sub("%25..", lambda m: m.group().lower(), urllib.parse.quote(urllib.parse.quote(s, safe=""), safe="")).encode()
    yield "quote all lower", b"s=", b"".join(b"%%%02x" % c for c in u)
    yield "quote half", b"s=", b"".join(b"%%%02x" % c if i % 13 == 0 else bytes([c]) if chr(c).isalnum() and c < 128 else b"%%%02X" % c for i, c in enumerate(u))
    j = json.dumps(s)[1:-1]
    yield "json", b'{"client_secret": "', j.encode()
    yield "json utf-8", b'{"client_secret": "', json.dumps(s, ensure_ascii=False)[1:-1].encode()
    yield "json slashes", b'{"s":"', j.replace("/", "\\/").encode()
    yield "json all", b'"', "".join("\\u%04x" % c for c in units(s)).encode()
    yield "json in json", b'{"body":"{\\"client_secret\\":\\"', json.dumps(j)[1:-1].encode()
    yield "json html-safe", b'"', j.replace("&", "\\u0026").replace("<", "\\u003C").replace(">", "\\u003e").replace("'", "\\u0027").replace("+", "\\u002B").encode()
    yield "html", b"<p title='", html.escape(s).encode()
    yield "xml", b"<secret>", escape(s).encode()
    yield "xml attribute", b"<add value=", quoteattr(s).encode()
    yield "xml ascii", b"<s>", escape(s).encode("ascii", "xmlcharrefreplace")
    yield "xml decimal", b"<s>", "".join("&#%d;" % ord(c) for c in s).encode()
    yield "xml hex", b"<s>", "".join("&#x%X;" % ord(c) for c in s).encode()
    yield "xml twice", b"<s>", escape(escape(s)).encode()
    yield "repr", b"s = ", repr(s).encode()
    yield "ascii", b"s = ", ascii(s).encode()
    yield "c hex", b's = "', "".join("\\x%02x" % c for c in u).encode()
    yield "c octal", b's = "', "".join(chr(c) if chr(c).isalnum() and c < 128 else "\\%03o" % c for c in u).encode()
    for k in range(3):
        yield "base64 +%d" % k, b"data: ", base64.b64encode(b"abc"[:k] + u + b"#tail")
        yield "base64 url +%d" % k, b"data: ", base64.urlsafe_b64encode(b"\xff\xfe\xfb"[:k] + u + b"?>>")
        yield "base64 alone +%d" % k, b"data: ", base64.b64encode(b"a:c"[:k] + u)
    yield "basic auth", b"Authorization: Basic ", base64.b64encode(b"client-7:" + u)
    yield "base64 in url", b"?a=", urllib.parse.quote(base64.b64encode(b"client:" + u), safe="").encode()
    yield "base64 mime", b"", base64.encodebytes(b"." * 40 + u + b"." * 40)
    yield "base64 mime crlf", b"", base64.encodebytes(b"." * 45 + u + b"." * 40).replace(b"\n", b"\r\n")
    yield "base64 pem", b"-----BEGIN X-----\n", "\n".join(textwrap.wrap(base64.b64encode(b"." * 33 + u + b"." * 40).decode(), 64)).encode()
    yield "base64 indented", b"data: |\n", b"\n".join(b"    " + l for l in base64.encodebytes(b"-" * 51 + u + b"." * 4).splitlines())
    yield "base64 lines in json", b'{"pem": "', json.dumps(base64.encodebytes(b"." * 40 + u + b"." * 40).decode())[1:-1].encode()
    for k in range(3):
        inner = base64.b64encode(b'{"auths": {"registry": {"auth": "'[: 30 + k] + base64.b64encode(b"id:"[:k] + u) + b'"}}}')
        yield "base64 of base64 +%d" % k, b".dockerconfigjson: ", inner
    yield "base64 url of base64", b"s: ", base64.urlsafe_b64encode(base64.b64encode(b"client:" + u))
    yield "base64 of base64 url", b"s: ", base64.b64encode(b"." + base64.urlsafe_b64encode(b"client:" + u))
    yield "basic auth of RFC 6749", b"Authorization: Basic ", base64.b64encode(("my+id:" + urllib.parse.quote_plus(s)).encode())
    yield "base64 of json", b"data: ", base64.b64encode(json.dumps({"client_secret": s, "id": 7}).encode())
    yield "powershell -EncodedCommand", b"powershell -enc ", base64.b64encode(("$s = '" + s + "'").encode("utf-16-le"))
    yield "hex", b"0x", binascii.hexlify(u)
    yield "hex upper", b"0x", binascii.hexlify(u).upper()
    yield "hex colons", b"key: ", binascii.hexlify(u, ":")
    yield "hex commas", b'"s"=hex:', binascii.hexlify(u, ",")
    yield "hex spaces", b"", binascii.hexlify(u, " ").upper()
    yield "registry export", b'"s"=hex(2):', reg(binascii.hexlify(s.encode("utf-16-le"), ",").decode()).encode()
    yield "c array", b"{", ", ".join("0x%02x" % c for c in u).encode()
    yield "quoted-printable", b"", quopri.encodestring(b"x" * 60 + u + b"=\n")
    yield "quoted-printable all", b"", b"".join(b"=%02X" % c for c in u)
    n = len(s) // 2
    yield "shell continuation", b"S=", (s[:n] + "\\\n" + s[n:]).encode()
    yield "powershell continuation", b"$s = ", (s[:n] + "`\r\n" + s[n:]).encode()
    yield "cmd continuation", b"set S=", (s[: n - 2] + "^\r\n" + s[n - 2 :]).encode()
    yield "yaml continuation", b's: "', (s[:n] + "\\\n    " + s[n:]).encode()
    yield "concatenation", b's = "', (s[:n] + '" +\n        "' + s[n:]).encode()
    yield "adjacent strings", b's = "', (s[:n] + '"\n     "' + s[n:]).encode()
    yield "single quotes", b"s='", s.replace("'", "'\\''").encode()
    yield "sql", b"'", s.replace("'", "''").encode()
    yield "wrapped", b"> ", (s[:n] + "\n" + s[n:]).encode()
    yield "latin-1", b"s=", s.encode("latin-1", "replace") if all(ord(c) < 256 for c in s) else None
    for order in ("le", "be"):
        def wide(b):
            return b.decode().encode("utf-16-" + order)
        yield "utf-16" + order, wide(b"secret="), s.encode("utf-16-" + order)
        yield "utf-16" + order + " bom", ("\ufeff" + "line\r\nsecret=").encode("utf-16-" + order), s.encode("utf-16-" + order)
        yield "utf-16" + order + " odd", b"!", s.encode("utf-16-" + order)
        yield "utf-16" + order + " base64", wide(b"x: "), wide(base64.b64encode(b"id:" + u + b"."))
        yield "utf-16" + order + " mime", b"", wide(base64.encodebytes(b"." * 40 + u + b"." * 40))
        yield "utf-16" + order + " hex", wide(b"x: "), wide(binascii.hexlify(u))
        yield "utf-16" + order + " quote", wide(b"x="), wide(urllib.parse.quote(s, safe="").encode())
        yield "utf-16" + order + " json", wide(b'{"'), wide(j.encode())
        yield "utf-16" + order + " xml", wide(b"<s>"), wide(escape(s).encode("ascii", "xmlcharrefreplace"))
        yield "utf-16" + order + " powershell", wide(b"$s="), (s[:n] + "`\r\n" + s[n:]).encode("utf-16-" + order)


def units(s):
    b = s.encode("utf-16-be")
    return [b[i] << 8 | b[i + 1] for i in range(0, len(b), 2)]


def reg(s):
    """Breaks lines as regedit does."""
    return "\\\r\n  ".join(textwrap.wrap(s, 78, break_on_hyphens=False)) if len(s) > 78 else s


def pieces(secrets):
    for name, s in secrets.items():
        for encoding, before, encoded in encodings(s):
            if encoded is None:
                continue
            tail = b"\n" if not encoding.startswith("utf-16") else b""
            data = b"first line\n" * (1 - len(tail) + 1 if tail else 0) + before + encoded + tail
            low = len(data) - len(tail) - len(encoded)
            yield re.sub(r"[^a-z0-9+]+", "-", encoding.lower()) + "." + name, data, name, encoding, low, low + len(encoded)


def make_zip(files, method=zipfile.ZIP_DEFLATED):
    b = io.BytesIO()
    with zipfile.ZipFile(b, "w", method) as z:
        for name, data in files.items():
            z.writestr(name, data)
    return b.getvalue()


class Pipe(io.RawIOBase):
    """What cannot go back, so that sizes follow the data (APPNOTE.TXT 4.3.9)."""
    def __init__(self):
        self.parts = []
    def writable(self):
        return True
    def write(self, data):
        self.parts.append(bytes(data))
        return len(data)


def make_streamed(files):
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in files.items():
            with z.open(name, "w", force_zip64=True) as f:
                f.write(data)
    return b"".join(pipe.parts)


def make_tar(files, mode="w"):
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode=mode) as t:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return b.getvalue()


def run(*argv, **kw):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, **kw).stdout


def main(root):
    secrets = json.load(sys.stdin)
    all_pieces = list(pieces(secrets))
    files = {p[0]: p[1] for p in all_pieces}
    planted = []

    def put(path, data):
        os.makedirs(os.path.dirname(os.path.join(root, path)) or root, exist_ok=True)
        with open(os.path.join(root, path), "wb") as f:
            f.write(data)

    def expect(path, member=None):
        for name, _, secret, encoding, low, high in all_pieces:
            planted.append({"path": path(name) if callable(path) else path, "member": member(name) if member else "", "secret": secret, "encoding": encoding, "low": low, "high": high})

    for name, data in files.items():
        put("plain/" + name, data)
        put("gz/" + name + ".gz", gzip.compress(data))
        put("bz2/" + name + ".bz2", bz2.compress(data))
    expect(lambda n: "plain/" + n)
    expect(lambda n: "gz/" + n + ".gz", lambda n: n)
    expect(lambda n: "bz2/" + n + ".bz2", lambda n: n)
    containers = {
        "stored.zip": (make_zip(files, zipfile.ZIP_STORED), ""),
        "deflated.zip": (make_zip(files), ""),
        "bzip2.zip": (make_zip(files, zipfile.ZIP_BZIP2), ""),
        "streamed.zip": (make_streamed(files), ""),
        "setup.exe": (b"MZ" + b"program\x00" * 50000 + make_zip(files) + b"signature", ""),
        "a.tar": (make_tar(files), ""),
        "gnu.tar.gz": (make_tar(files, "w:gz"), ""),
        "short.tgz": (make_tar(files, "w:gz"), ""),
        "b.tar.bz2": (make_tar(files, "w:bz2"), ""),
        "zip-in.tar.gz": (gzip.compress(make_tar({"in/a.zip": make_zip(files)})), "in/a.zip!"),
        "tar-in.zip": (make_zip({"in/a.tar.gz": make_tar(files, "w:gz")}), "in/a.tar.gz!"),
        "zip-in-zip.jar": (make_zip({"lib/x.jar": make_zip({"y.war": make_zip(files)})}), "lib/x.jar!y.war!"),
    }
    for name, (data, prefix) in containers.items():
        put(name, data)
        expect(name, lambda n, prefix=prefix: prefix + n)
    # By other programs.
    run("tar", "-C", os.path.join(root, "plain"), "--format=v7", "-cf", os.path.join(root, "v7.tar"), ".")
    expect("v7.tar", lambda n: "./" + n)
    run("tar", "-C", os.path.join(root, "plain"), "--format=pax", "-czf", os.path.join(root, "pax.tar.gz"), ".")
    expect("pax.tar.gz", lambda n: "./" + n)
    run("gzip", "-9", "-k", os.path.join(root, "v7.tar"))
    expect("v7.tar.gz", lambda n: "./" + n)
    json.dump(planted, sys.stdout)


main(sys.argv[1])
