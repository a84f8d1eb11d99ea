-- A throw-away server for tests: Debian's shipped module set without s2s, HTTP and administration,
-- on loopback, for tests with a log of every stanza. @NAMES@ are filled in by `cargo xtask prosody`.

daemonize = false
run_as_root = true
pidfile = [[@FOLDER@/prosody.pid]]
data_path = [[@FOLDER@/data]]

interfaces = { "127.0.0.1" }
c2s_ports = { @STARTTLS_PORT@ }
c2s_direct_tls_ports = { @TLS_PORT@ }
component_ports = { @COMPONENT_PORT@ }
proxy65_ports = { @RELAY_PORT@ }
c2s_require_encryption = true
-- Of hundreds of connections at once the kernel would drop those beyond 128, and their clients' kernels try again after seconds.
network_settings = { tcp_backlog = 1024 }
certificates = [[@FOLDER@]]
ssl = { key = [[@FOLDER@/server.key]], certificate = [[@FOLDER@/server.pem]] }

authentication = "internal_hashed"

modules_enabled = {
	"roster"; "saslauth"; "tls"; "disco";
	"blocklist"; "bookmarks"; "carbons"; "pep"; "private"; "smacks"; "vcard4"; "vcard_legacy";
	"csi_simple"; "ping"; "time"; "uptime"; "version";
	"posix";
	-- Where `stanza_debug` is among them, each stanza is in the log: a test can show what the server saw.
	@MORE_MODULES@
}
modules_disabled = { "s2s" }
@MORE_SETTINGS@

log = { { levels = { min = "@LOG_LEVEL@" }, to = "file", filename = [[@FOLDER@/prosody.log]] } }

VirtualHost "@DOMAIN@"

Component "@COMPONENT@"
	component_secret = "@SECRET@"

@RELAY@
