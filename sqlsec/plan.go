package sqlsec

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"text/template"

	"github.com/connsec/connsec/tlscheck"
)

// Platform is where a SQL Server runs.
type Platform uint8

// The platforms.
const (
	Windows Platform = iota
	Linux
)

// ForceEncryptionPlan writes down how to force encryption on a server. It is text to be read,
// and run by an administrator on the server; nothing here executes it.
type ForceEncryptionPlan struct {
	Platform Platform
	// Host is the DNS name that clients use; the certificate has to carry it.
	Host string
	// Instance is the instance's name. Default MSSQLSERVER, the unnamed one. Windows only.
	Instance string
	// Thumbprint is the certificate's SHA-1 thumbprint in the store LocalMachine\My. Windows
	// only.
	Thumbprint string
	// Strict forces TDS 8.0 instead, which locks out every client that does not ask for it.
	// SQL Server 2022 and later on Windows.
	Strict bool
	// CertificateFile and KeyFile are absolute paths of PEM files. Linux only.
	CertificateFile, KeyFile string
}

var (
	instanceName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]{0,15}$`)
	thumbprint   = regexp.MustCompile(`^[0-9a-f]{40}$`)
	plainPath    = regexp.MustCompile(`^/[A-Za-z0-9._/+-]+$`)
)

// Script returns the plan: a PowerShell script for Windows, a shell script for Linux. Each
// takes an action. "check" changes nothing and says what is there, "apply" keeps the old
// values in a file, changes, restarts the service and checks, "undo" puts the old values back.
func (p ForceEncryptionPlan) Script() (string, error) {
	host, err := tlscheck.ParseFQDN(p.Host)
	if err != nil {
		return "", fmt.Errorf("sqlsec: the plan needs the DNS name that clients use: %w", err)
	}
	p.Host = host.String()
	if p.Instance == "" {
		p.Instance = "MSSQLSERVER"
	}
	script := windowsScript
	switch p.Platform {
	case Windows:
		p.Thumbprint = strings.ToLower(strings.Map(dropSpace, p.Thumbprint))
		if !instanceName.MatchString(p.Instance) {
			return "", errors.New("sqlsec: the plan needs an instance name: letters, digits, _ and $, at most 16")
		}
		if !thumbprint.MatchString(p.Thumbprint) {
			return "", errors.New(`sqlsec: the plan needs the certificate's thumbprint: 40 hexadecimal digits, as "dir Cert:\LocalMachine\My" shows in PowerShell`)
		}
	case Linux:
		script = linuxScript
		if p.Strict {
			return "", errors.New("sqlsec: forcing strict encryption is planned for Windows only")
		}
		for _, file := range []string{p.CertificateFile, p.KeyFile} {
			if !plainPath.MatchString(file) || path.Clean(file) != file {
				return "", errors.New("sqlsec: the plan needs absolute paths of the certificate and of its key, of letters, digits and . _ + - only")
			}
		}
	default:
		return "", errors.New("sqlsec: the platform is windows or linux")
	}
	var b bytes.Buffer
	if err := script.Execute(&b, p); err != nil {
		return "", fmt.Errorf("sqlsec: %w", err)
	}
	return b.String(), nil
}

// dropSpace also takes out the invisible mark that the certificate dialog of Windows copies.
func dropSpace(r rune) rune {
	if r == ' ' || r == ':' || r == '\u200e' || r == '\t' {
		return -1
	}
	return r
}

var windowsScript = template.Must(template.New("windows").Parse(`#Requires -RunAsAdministrator
# Forces encryption on SQL Server instance {{.Instance}}. Read it before you run it:
#   check   changes nothing; shows what is set, and whether the certificate will do
#   apply   keeps the old values, sets the new ones, restarts the service, checks
#   undo    puts the old values back and restarts the service
# Before "apply", see who is connected without encryption: those clients may not come back.
#   SELECT s.host_name, s.program_name, c.encrypt_option FROM sys.dm_exec_connections c
#   JOIN sys.dm_exec_sessions s ON s.session_id = c.session_id WHERE c.encrypt_option = 'FALSE'
param(
    [ValidateSet('check', 'apply', 'undo')][string]$Action = 'check',
    [string]$Backup = (Join-Path $PSScriptRoot 'force-encryption-{{.Instance}}.json')
)
Set-StrictMode -Version 3
$ErrorActionPreference = 'Stop'

$instance   = '{{.Instance}}'
$hostName   = '{{.Host}}'
$thumbprint = '{{.Thumbprint}}'
$names      = Get-ItemProperty 'HKLM:\SOFTWARE\Microsoft\Microsoft SQL Server\Instance Names\SQL'
$id         = $names.$instance
$net        = "HKLM:\SOFTWARE\Microsoft\Microsoft SQL Server\$id\MSSQLServer\SuperSocketNetLib"
$service    = if ($instance -eq 'MSSQLSERVER') { 'MSSQLSERVER' } else { 'MSSQL$' + $instance }
$account    = "NT SERVICE\$service"   # its own identity, whatever account it runs as
$settings   = [ordered]@{
    ForceEncryption = @{ Type = 'DWord';  Value = 1 }
{{- if .Strict}}
    ForceStrict     = @{ Type = 'DWord';  Value = 1 }
{{- end}}
    Certificate     = @{ Type = 'String'; Value = $thumbprint }
}

function Get-Setting([string]$Name) {
    $all = Get-ItemProperty $net
    if ($all.PSObject.Properties.Name -contains $Name) { $all.$Name } else { $null }
}

# The file that holds the certificate's private key, for both kinds of key store.
function Get-KeyFile($Certificate) {
    $rsa = [System.Security.Cryptography.X509Certificates.RSACertificateExtensions]::GetRSAPrivateKey($Certificate)
    if ($null -eq $rsa) { throw 'the certificate has no RSA key that this account can reach' }
    if ($rsa -is [System.Security.Cryptography.RSACng]) { $name = $rsa.Key.UniqueName }
    else { $name = $rsa.CspKeyContainerInfo.UniqueKeyContainerName }
    $file = 'Crypto\Keys', 'Crypto\RSA\MachineKeys' |
        ForEach-Object { Join-Path (Join-Path "$env:ProgramData\Microsoft" $_) $name } |
        Where-Object { Test-Path $_ } | Select-Object -First 1
    if (-not $file) { throw 'the file of the private key is not where Windows keeps them; is the key in hardware?' }
    $file
}

function Test-Certificate {
    $certificate = Get-Item "Cert:\LocalMachine\My\$thumbprint"
    if (-not $certificate.HasPrivateKey) { throw 'the certificate has no private key' }
    if ($certificate.NotAfter -lt (Get-Date)) { throw "the certificate ended on $($certificate.NotAfter)" }
    if ($certificate.DnsNameList.Unicode -notcontains $hostName) { throw "the certificate is not for $hostName" }
    if ($certificate.EnhancedKeyUsageList.ObjectId -notcontains '1.3.6.1.5.5.7.3.1') { throw 'the certificate is not for server authentication' }
    $certificate
}

function Restart-Instance {
    # Services that depend on it, such as SQL Server Agent, are stopped with it.
    $dependents = @(Get-Service $service -DependentServices | Where-Object Status -eq 'Running')
    Restart-Service $service -Force
    $dependents | ForEach-Object { Start-Service $_.Name }
}

function Show-State {
    foreach ($name in $settings.Keys) { '{0} = {1}' -f $name, (Get-Setting $name) }
    $certificate = Test-Certificate
    'certificate: {0}, until {1}' -f $certificate.Subject, $certificate.NotAfter
    $rights = (Get-Acl (Get-KeyFile $certificate)).Access | Where-Object { $_.IdentityReference -eq $account }
    'private key readable by {0}: {1}' -f $account, [bool]$rights
    $log = Get-ChildItem (Join-Path (Split-Path (Get-ItemProperty "HKLM:\SOFTWARE\Microsoft\Microsoft SQL Server\$id\Setup").SQLDataRoot) 'MSSQL\Log\ERRORLOG') -ErrorAction SilentlyContinue
    if ($log) { Select-String -Path $log -Pattern 'was successfully loaded for encryption' | Select-Object -Last 1 -ExpandProperty Line }
    'from another machine: the probe must answer that encryption is forced for {0}' -f $hostName
}

switch ($Action) {
    'check' { Show-State }
    'apply' {
        $certificate = Test-Certificate
        if (Test-Path $Backup) { throw "$Backup exists; undo first, or move it away" }
        $old = [ordered]@{}
        foreach ($name in $settings.Keys) { $old[$name] = Get-Setting $name }
        $old | ConvertTo-Json | Set-Content -Encoding UTF8 $Backup
        & icacls (Get-KeyFile $certificate) /grant "${account}:(R)" | Out-Null
        if ($LASTEXITCODE -ne 0) { throw 'the right to read the private key could not be given' }
        foreach ($name in $settings.Keys) { Set-ItemProperty $net -Name $name -Type $settings[$name].Type -Value $settings[$name].Value }
        Restart-Instance
        Show-State
    }
    'undo' {
        $old = Get-Content -Raw $Backup | ConvertFrom-Json
        foreach ($name in $settings.Keys) {
            if ($null -eq $old.$name) { Remove-ItemProperty $net -Name $name -ErrorAction SilentlyContinue }
            else { Set-ItemProperty $net -Name $name -Type $settings[$name].Type -Value $old.$name }
        }
        Restart-Instance
        Rename-Item $Backup "$Backup.undone"
        Show-State
    }
}
`))

var linuxScript = template.Must(template.New("linux").Parse(`#!/bin/sh
# Forces encryption on SQL Server for Linux. Read it before you run it as root:
#   check   changes nothing; shows what is set, and whether the certificate will do
#   apply   keeps the old settings, sets the new ones, restarts the service, checks
#   undo    puts the old settings back and restarts the service
set -eu

conf=/var/opt/mssql/mssql.conf
backup=/var/opt/mssql/mssql.conf.before-force-encryption
mssql_conf=/opt/mssql/bin/mssql-conf
certificate='{{.CertificateFile}}'
key='{{.KeyFile}}'

check() {
    grep -E '^[[:space:]]*(forceencryption|tlscert|tlskey|tlsprotocols)' "$conf" || echo 'mssql.conf says nothing about encryption'
    openssl x509 -in "$certificate" -noout -checkend 0 -subject -enddate
    if ! openssl x509 -in "$certificate" -noout -checkhost '{{.Host}}' | grep 'does match'; then
        echo 'the certificate is not for {{.Host}}' >&2
        return 1
    fi
    if [ "$(openssl x509 -in "$certificate" -noout -pubkey)" != "$(openssl pkey -in "$key" -pubout)" ]; then
        echo 'the key does not belong to the certificate' >&2
        return 1
    fi
    echo 'from another machine: the probe must answer that encryption is forced for {{.Host}}'
}

case "${1:-check}" in
check)
    check
    ;;
apply)
    check
    if [ -e "$backup" ]; then
        echo "$backup exists; undo first, or move it away" >&2
        exit 1
    fi
    if [ -e "$conf" ]; then cp -p "$conf" "$backup"; else : > "$backup"; fi
    chown mssql:mssql "$certificate" "$key"
    chmod 400 "$key"
    "$mssql_conf" set network.tlscert "$certificate"
    "$mssql_conf" set network.tlskey "$key"
    "$mssql_conf" set network.tlsprotocols 1.2
    "$mssql_conf" set network.forceencryption 1
    systemctl restart mssql-server
    check
    ;;
undo)
    cp -p "$backup" "$conf"
    systemctl restart mssql-server
    mv "$backup" "$backup.undone"
    ;;
*)
    echo "usage: $0 [check|apply|undo]" >&2
    exit 2
    ;;
esac
`))
