/*
 * A TLS peer on GnuTLS, on the socket that is its standard input.
 *
 *   gnutls ROLE CERTIFICATE KEY ALPN MODE PRIORITY
 *
 * ROLE is client or server; PRIORITY is a priority string of GnuTLS. MODE is what it does once the handshake is finished:
 *
 *   echo    sends back what arrives; when the other side closes, sends "bye" and closes
 *   update  the same, and renews both keys with every 16th record
 *   first   sends "first", closes its direction at once, and continues to read
 *   cut     sends back one record and exits, without close_notify
 *   bare    as echo, and presents no certificate
 *
 * Everything it learns goes to standard error, one `name value` per line.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#define LABEL "EXPERIMENTAL-xtls-test"
#define CONTEXT "context"

static gnutls_session_t session;

static void tell(const char *name, const unsigned char *bytes, size_t len) {
    fprintf(stderr, "%s ", name);
    for (size_t i = 0; i < len; i++) {
        fprintf(stderr, "%02x", bytes[i]);
    }
    fputc('\n', stderr);
}

/* Ends with what went wrong, after sending what is still pending, such as an alert. */
static void fail(const char *where, int code) {
    fprintf(stderr, "failed %s: %s\n", where, gnutls_strerror_name(code));
    if (code == GNUTLS_E_FATAL_ALERT_RECEIVED || code == GNUTLS_E_WARNING_ALERT_RECEIVED) {
        fprintf(stderr, "alert %d\n", (int)gnutls_alert_get(session));
    } else {
        gnutls_alert_send_appropriate(session, code);
    }
    exit(1);
}

static void must(const char *where, int code) {
    if (code < 0) {
        fail(where, code);
    }
}

static void send_all(const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t sent = gnutls_record_send(session, bytes, len);
        if (sent == GNUTLS_E_AGAIN || sent == GNUTLS_E_INTERRUPTED) {
            continue;
        }
        must("send", (int)sent);
        bytes += sent;
        len -= (size_t)sent;
    }
}

static void report(void) {
    unsigned int count = 0;
    const gnutls_datum_t *peers = gnutls_certificate_get_peers(session, &count);
    unsigned char out[32];
    size_t len = sizeof out;
    fprintf(stderr, "version %s\n", gnutls_protocol_get_name(gnutls_protocol_get_version(session)));
    fprintf(stderr, "group %s\n", gnutls_group_get_name(gnutls_group_get(session)));
    fprintf(stderr, "certificates %u\n", count);
    if (count > 0) {
        must("fingerprint", gnutls_fingerprint(GNUTLS_DIG_SHA256, &peers[0], out, &len));
        tell("certificate", out, len);
    }
    gnutls_datum_t alpn = {NULL, 0};
    if (gnutls_alpn_get_selected_protocol(session, &alpn) == 0) {
        fprintf(stderr, "alpn %.*s\n", (int)alpn.size, (const char *)alpn.data);
    }
    must("prf", gnutls_prf_rfc5705(session, strlen(LABEL), LABEL, strlen(CONTEXT), CONTEXT, sizeof out, (char *)out));
    tell("exporter", out, sizeof out);
    gnutls_datum_t binding = {NULL, 0};
    must("binding", gnutls_session_channel_binding(session, GNUTLS_CB_TLS_EXPORTER, &binding));
    tell("binding", binding.data, binding.size);
    gnutls_free(binding.data);
}

/* Reads until the other side ends, and reports how it ended. */
static void converse(const char *mode) {
    static char buffer[16384];
    unsigned long long total = 0, records = 0, updates = 0;
    int echoes = strcmp(mode, "first") != 0;
    for (;;) {
        ssize_t len = gnutls_record_recv(session, buffer, sizeof buffer);
        if (len == GNUTLS_E_AGAIN || len == GNUTLS_E_INTERRUPTED) {
            continue;
        }
        if (len == GNUTLS_E_PREMATURE_TERMINATION) {
            fprintf(stderr, "end cut\n");
            return;
        }
        must("receive", (int)len);
        if (len == 0) {
            fprintf(stderr, "end clean\nread %llu\n", total);
            break;
        }
        total += (unsigned long long)len;
        records++;
        if (echoes) {
            send_all(buffer, (size_t)len);
        }
        if (strcmp(mode, "cut") == 0) {
            return;
        }
        if (strcmp(mode, "update") == 0 && records % 16 == 0) {
            must("update", gnutls_session_key_update(session, GNUTLS_KU_PEER));
            updates++;
        }
    }
    fprintf(stderr, "updates %llu\nticket %d\n", updates, !!(gnutls_session_get_flags(session) & GNUTLS_SFLAGS_SESSION_TICKET));
    if (echoes) {
        send_all("bye", 3);
        must("bye", gnutls_bye(session, GNUTLS_SHUT_WR));
    }
}

int main(int argc, char **argv) {
    if (argc != 7) {
        return 2;
    }
    int server = strcmp(argv[1], "server") == 0;
    const char *mode = argv[5];
    gnutls_certificate_credentials_t credentials;
    must("credentials", gnutls_certificate_allocate_credentials(&credentials));
    if (strcmp(mode, "bare") != 0) {
        must("key", gnutls_certificate_set_x509_key_file(credentials, argv[2], argv[3], GNUTLS_X509_FMT_PEM));
    }
    must("session", gnutls_init(&session, server ? GNUTLS_SERVER : GNUTLS_CLIENT));
    must("priority", gnutls_priority_set_direct(session, argv[6], NULL));
    must("credentials", gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials));
    gnutls_datum_t alpn = {(unsigned char *)argv[4], (unsigned int)strlen(argv[4])};
    must("alpn", gnutls_alpn_set_protocols(session, &alpn, 1, GNUTLS_ALPN_MANDATORY));
    gnutls_datum_t ticket_key;
    if (server) {
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
        must("ticket key", gnutls_session_ticket_key_generate(&ticket_key));
        must("tickets", gnutls_session_ticket_enable_server(session, &ticket_key));
    }
    gnutls_transport_set_int(session, STDIN_FILENO);

    int code;
    do {
        code = gnutls_handshake(session);
    } while (code == GNUTLS_E_AGAIN || code == GNUTLS_E_INTERRUPTED);
    must("handshake", code);
    report();
    if (strcmp(mode, "first") == 0) {
        send_all("first", 5);
        must("bye", gnutls_bye(session, GNUTLS_SHUT_WR));
    }
    converse(mode);
    gnutls_deinit(session);
    gnutls_certificate_free_credentials(credentials);
    return 0;
}
