//! Tests of the elements of SOCKS5 bytestreams.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::strategy;

const HOST: &str = "<streamhost jid='proxy.a.example' host='192.0.2.1' port='5000'/>";

fn query(attributes: &str, children: &str) -> Result<Query, PayloadError> {
    let document = format!("<query xmlns='{NS}' {attributes}>{children}</query>");
    Query::read(&Element::read(document.as_bytes(), "jabber:client").unwrap())
}

fn written(query: &Query) -> String {
    let mut out = Vec::new();
    query.to_element().write("jabber:client", &mut out);
    String::from_utf8(out).unwrap()
}

fn streamhost() -> Streamhost {
    Streamhost {
        jid: Address::new("proxy.a.example").unwrap(),
        host: Host::new("192.0.2.1").unwrap(),
        port: NonZeroU16::new(5000).unwrap(),
    }
}

#[test]
fn ports_that_are_none_are_refused() {
    for port in [
        "", "0", "00000", "-1", "+1", " 80", "65536", "5000x", "0x50",
    ] {
        let host = format!("<streamhost jid='a.example' host='h' port='{port}'/>");
        assert_eq!(
            query("sid='s'", &host),
            Err(attribute("streamhost", "port")),
            "{port:?}"
        );
    }
}

#[test]
fn hosts_that_are_none_are_refused() {
    let long = "h".repeat(256);
    for host in [
        "",
        " ",
        "a b",
        "a&#9;",
        "a&#10;b",
        "a&#x85;b",
        "a&#x2003;b",
        &long,
    ] {
        let host = format!("<streamhost jid='a.example' host='{host}' port='1'/>");
        assert_eq!(
            query("", &host),
            Err(attribute("streamhost", "host")),
            "{host:?}"
        );
    }
    assert!(Host::new(&"h".repeat(255)).is_some());
}

#[test]
fn sids_that_are_none_are_refused() {
    for sid in ["", "a&#9;b", "&#x7f;", "&#x85;"] {
        let read = query(&format!("sid='{sid}'"), HOST);
        assert_eq!(read, Err(attribute("query", "sid")), "{sid:?}");
    }
    let long = "s".repeat(129);
    assert_eq!(Sid::new(&long), Err(SidError::TooLong { len: 129 }));
    assert_eq!(
        query(&format!("sid='{long}'"), HOST),
        Err(attribute("query", "sid"))
    );
    assert_eq!(Sid::new(&"s".repeat(128)).unwrap().as_str().len(), 128);
    assert!(query("sid='a b/ä'", HOST).is_ok());
}

#[test]
fn what_is_missing_is_named() {
    let missing = |element, attribute| Err(PayloadError::Missing { element, attribute });
    assert_eq!(
        query("", "<streamhost host='h' port='1'/>"),
        missing("streamhost", "jid")
    );
    assert_eq!(
        query("", "<streamhost jid='a.example' zeroconf='_z'/>"),
        missing("streamhost", "host")
    );
    assert_eq!(
        query("", "<streamhost-used/>"),
        missing("streamhost-used", "jid")
    );
    assert_eq!(
        query("", "<activate>a@b/c</activate>"),
        missing("query", "sid")
    );
}

#[test]
fn addresses_that_are_none_are_refused() {
    assert_eq!(
        query("", "<streamhost jid='@' host='h'/>"),
        Err(attribute("streamhost", "jid"))
    );
    assert_eq!(
        query("", "<streamhost-used jid=''/>"),
        Err(attribute("streamhost-used", "jid"))
    );
    for text in ["", "@", "a@/b", "<x/>"] {
        let read = query("sid='s'", &format!("<activate>{text}</activate>"));
        assert_eq!(
            read,
            Err(PayloadError::Text {
                element: "activate"
            }),
            "{text:?}"
        );
    }
}

#[test]
fn udp_is_refused() {
    for mode in ["udp", "", "TCP"] {
        let read = query(&format!("sid='s' mode='{mode}'"), HOST);
        assert_eq!(read, Err(attribute("query", "mode")), "{mode:?}");
    }
    assert_eq!(query("sid='s' mode='tcp'", HOST), query("sid='s'", HOST));
    assert_eq!(
        query("", "<udpsuccess dstaddr='d'/>"),
        Err(PayloadError::Unknown)
    );
}

#[test]
fn children_that_do_not_belong_together_are_refused() {
    let used = "<streamhost-used jid='a.example'/>";
    let activate = "<activate>a@b/c</activate>";
    for (children, why) in [
        (format!("{HOST}{used}"), PayloadError::Unknown),
        (format!("{used}{HOST}"), PayloadError::Unknown),
        (format!("{activate}{used}"), PayloadError::Unknown),
        (
            format!("{used}{used}"),
            PayloadError::Twice {
                element: "streamhost-used",
            },
        ),
        (
            format!("{activate}{activate}"),
            PayloadError::Twice {
                element: "activate",
            },
        ),
    ] {
        assert_eq!(query("sid='s'", &children), Err(why), "{children}");
    }
}

#[test]
fn more_than_32_streamhosts_are_refused() {
    let Ok(Query::Offer { hosts, .. }) = query("sid='s'", &HOST.repeat(32)) else {
        panic!("32 are read");
    };
    assert_eq!(hosts.len(), MAX_STREAMHOSTS);
    let most = MAX_STREAMHOSTS;
    assert_eq!(
        query("sid='s'", &HOST.repeat(33)),
        Err(PayloadError::TooMany {
            element: "query",
            most
        })
    );
}

#[test]
fn another_element_is_refused() {
    for element in [
        Element::new("query", "jabber:client"),
        Element::new("open", NS),
    ] {
        assert_eq!(Query::read(&element), Err(PayloadError::Unknown));
    }
}

#[test]
fn a_streamhost_without_a_port_has_that_of_the_schema() {
    let Ok(Query::Hosts(hosts)) = query("", "<streamhost jid='a.example' host='h'/>") else {
        panic!("it is read");
    };
    assert_eq!(hosts.first().unwrap().port.get(), 1080);
}

#[test]
fn what_other_namespaces_add_is_ignored() {
    let fast = format!("<fast xmlns='http://affinix.com/jabber/stream'/>{HOST}");
    assert_eq!(query("sid='s'", &fast), query("sid='s'", HOST));
}

#[test]
fn it_is_written_as_the_xep_has_it() {
    let sid = || Sid::new("k3v9").unwrap();
    let jid = || Address::new("proxy.a.example").unwrap();
    let target = Address::new("juliet@capulet.example/balcony").unwrap();
    let start = format!("<query xmlns='{NS}'");
    for (query, rest) in [
        (Query::Hosts(Vec::new()), "/>".to_owned()),
        (Query::Hosts(vec![streamhost()]), format!(">{HOST}</query>")),
        (
            Query::Offer {
                sid: sid(),
                hosts: vec![streamhost()],
            },
            format!(" sid='k3v9'>{HOST}</query>"),
        ),
        (
            Query::Used {
                sid: None,
                jid: jid(),
            },
            "><streamhost-used jid='proxy.a.example'/></query>".to_owned(),
        ),
        (
            Query::Activate { sid: sid(), target },
            " sid='k3v9'><activate>juliet@capulet.example/balcony</activate></query>".to_owned(),
        ),
    ] {
        assert_eq!(written(&query), format!("{start}{rest}"));
    }
}

fn a_query() -> impl Strategy<Value = Query> {
    let sid = || strategy::text().prop_filter_map("a sid", |text| Sid::new(&text).ok());
    let address = || {
        "[a-z]{1,3}@[a-z]{1,3}(/[a-zA-Z'&<]{1,3})?".prop_map(|text| Address::new(&text).unwrap())
    };
    let host = || strategy::text().prop_filter_map("a host", |text| Host::new(&text));
    let one = move || {
        (address(), host(), 1..=u16::MAX).prop_map(|(jid, host, port)| Streamhost {
            jid,
            host,
            port: NonZeroU16::new(port).unwrap(),
        })
    };
    prop_oneof![
        vec(one(), 0..4).prop_map(Query::Hosts),
        (sid(), vec(one(), 0..4)).prop_map(|(sid, hosts)| Query::Offer { sid, hosts }),
        (option::of(sid()), address()).prop_map(|(sid, jid)| Query::Used { sid, jid }),
        (sid(), address()).prop_map(|(sid, target)| Query::Activate { sid, target }),
    ]
}

proptest! {
    #[test]
    fn reading_what_was_written_gives_the_same(query in a_query()) {
        let text = written(&query);
        let element = Element::read(text.as_bytes(), "jabber:client").unwrap();
        prop_assert_eq!(Query::read(&element), Ok(query), "{}", text);
    }
}
