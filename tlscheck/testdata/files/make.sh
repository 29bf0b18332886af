#!/bin/sh
# Makes the PFX fixtures of this directory with OpenSSL 3. The keys guard nothing. Certificates
# run from 2026 to 2126; tests judge them as of a day in 2026.
set -eu
cd "$(dirname "$0")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
long='-days 36500'
ec='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
openssl req -x509 $ec $long -subj '/CN=Fixture Root' -keyout "$tmp/root.key" -out "$tmp/root.pem" \
	-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
openssl req $ec -subj '/CN=Fixture Intermediate' -keyout "$tmp/inter.key" -out "$tmp/inter.csr"
printf 'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n' > "$tmp/inter.ext"
openssl x509 -req -in "$tmp/inter.csr" -CA "$tmp/root.pem" -CAkey "$tmp/root.key" $long -extfile "$tmp/inter.ext" -out "$tmp/inter.pem"
openssl req $ec -subj '/CN=central.corp.acme.com' -keyout "$tmp/leaf.key" -out "$tmp/leaf.csr"
printf 'subjectAltName=DNS:central.corp.acme.com\nextendedKeyUsage=serverAuth\nkeyUsage=digitalSignature\n' > "$tmp/leaf.ext"
openssl x509 -req -in "$tmp/leaf.csr" -CA "$tmp/inter.pem" -CAkey "$tmp/inter.key" $long -extfile "$tmp/leaf.ext" -out "$tmp/leaf.pem"
cp "$tmp/root.pem" root.pem
cat "$tmp/leaf.pem" "$tmp/inter.pem" > chain.pem

pfx() { # name, options
	name=$1
	shift
	openssl pkcs12 -export -in "$tmp/leaf.pem" -certfile "$tmp/inter.pem" -out "$tmp/$name" "$@"
	openssl base64 -in "$tmp/$name" -out "$name.pfx.b64"
}
key="-inkey $tmp/leaf.key"
password='-passout pass:Xk9#mQ2vL7pRt4wZ'
pfx aes $key $password
pfx legacy $key $password -legacy
pfx des3 $key $password -legacy -certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1
pfx sha1mac $key $password -macalg sha1
pfx sha384mac $key $password -macalg sha384
pfx nomac $key $password -nomac
pfx certonly -nokeys $password
pfx empty $key -passout pass:
pfx changeit $key -passout pass:changeit
pfx derived $key -passout pass:central1234
pfx oneround $key $password -iter 1 -nomaciter
pfx plain $key -passout pass: -keypbe NONE -certpbe NONE -nomac
pfx clearkey $key $password -keypbe NONE
pfx pbes2-3des $key $password -certpbe DES-EDE3-CBC -keypbe DES-EDE3-CBC
