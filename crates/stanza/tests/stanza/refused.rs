//! Documents that are no documents, each with the rule that it breaks and the place.

use xtls_stanza::{Element, Rule};

/// One test for each line, and the list of all for the comparison with rxml.
macro_rules! refused {
    ($($name:ident: $document:expr => $rule:ident at $at:expr;)*) => {
        $(#[test]
        fn $name() {
            let document: &[u8] = $document.as_ref();
            let error = Element::read(document, "").unwrap_err();
            assert_eq!((error.at, error.rule), ($at, Rule::$rule), "{:?}", String::from_utf8_lossy(document));
        })*

        pub(super) const ALL: &[(&str, &[u8], Rule)] = &[$((stringify!($name), $document.as_bytes(), Rule::$rule)),*];
    };
}

refused! {
    nothing: "" => NoElement at 0;
    white_space_only: " " => TextOutside at 0;
    text_only: "x" => TextOutside at 0;
    white_space_in_front: " <a/>" => TextOutside at 0;
    white_space_behind: "<a/>\n" => TextOutside at 4;
    text_behind: "<a/>x" => TextOutside at 4;
    a_reference_outside: "<a/>&#32;" => TextOutside at 4;
    cdata_outside: "<a/><![CDATA[ ]]>" => TextOutside at 4;
    a_nul_outside: "<a/>\0" => TextOutside at 4;
    a_second_element: "<a/><b/>" => SecondElement at 4;
    an_end_tag_behind: "<a/></a>" => EndTag at 4;
    an_end_tag_only: "</a>" => EndTag at 0;
    an_end_tag_of_another: "<a><b></a></b>" => EndTag at 6;
    an_end_tag_with_another_prefix: "<p:a xmlns:p='u' xmlns:q='u'></q:a>" => EndTag at 29;
    an_end_tag_in_another_case: "<a></A>" => EndTag at 3;
    an_end_tag_with_a_space_in_front: "<a></ a>" => EndTag at 3;
    an_end_tag_with_an_attribute: "<a></a b='c'>" => EndTag at 3;
    an_end_tag_with_a_no_break_space: "<a></a\u{A0}>" => EndTag at 3;
    an_end_tag_without_end: "<a></a" => Unclosed at 3;
    an_element_without_end: "<a><b/>" => Unclosed at 7;
    a_tag_without_end: "<a><b c='d'" => Unclosed at 3;
    a_value_without_end: "<a b='c/>" => Unclosed at 0;
    cdata_without_end: "<a><![CDATA[</a>" => Unclosed at 3;
    a_lone_less_than: "<a>1 < 2</a>" => Name at 6;
    less_than_at_the_end: "<a><" => Unclosed at 3;

    a_byte_order_mark: "\u{FEFF}<a/>" => ByteOrderMark at 0;
    a_declaration: "<?xml version='1.0'?><a/>" => Declaration at 0;
    a_declaration_inside: "<a><?xml version='1.0'?></a>" => Declaration at 3;
    a_processing_instruction: "<a><?b c?></a>" => ProcessingInstruction at 3;
    a_processing_instruction_without_end: "<a><?b</a>" => ProcessingInstruction at 3;
    a_doctype: "<!DOCTYPE a><a/>" => Doctype at 0;
    a_doctype_with_entities: "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>" => Doctype at 0;
    a_doctype_inside: "<a><!DOCTYPE a></a>" => Doctype at 3;
    a_comment: "<a><!--b--></a>" => Comment at 3;
    a_comment_in_front: "<!----><a/>" => Comment at 0;
    a_comment_with_two_hyphens: "<a><!-- -- --></a>" => Comment at 3;
    a_comment_without_end: "<a><!--</a>" => Comment at 3;
    a_custom_entity: "<a>&nbsp;</a>" => Entity at 3;
    a_custom_entity_in_a_value: "<a b='&nbsp;'/>" => Entity at 6;
    an_entity_in_upper_case: "<a>&AMP;</a>" => Entity at 3;
    an_element_declaration: "<a><!ELEMENT a ANY></a>" => Markup at 3;
    cdata_in_lower_case: "<a><![cdata[b]]></a>" => Markup at 3;

    a_nul: "<a>b\0</a>" => Character at 4;
    a_control_character: "<a>\u{1}</a>" => Character at 3;
    a_vertical_tab: "<a>\u{B}</a>" => Character at 3;
    an_escape_character: "<a>\u{1B}[2J</a>" => Character at 3;
    the_last_control_character: "<a>\u{1F}</a>" => Character at 3;
    a_noncharacter: "<a>é\u{FFFE}</a>" => Character at 5;
    the_other_noncharacter: "<a>\u{FFFF}</a>" => Character at 3;
    a_control_character_in_a_value: "<a b='c\u{1}'/>" => Character at 7;
    a_noncharacter_in_a_value: "<a b='\u{FFFF}'/>" => Character at 6;
    a_control_character_in_cdata: "<a><![CDATA[\u{C}]]></a>" => Character at 12;
    a_noncharacter_in_cdata: "<a><![CDATA[\u{FFFE}]]></a>" => Character at 12;
    a_reference_to_nul: "<a>&#0;</a>" => Character at 3;
    a_reference_to_a_control_character: "<a>&#x1F;</a>" => Character at 3;
    a_reference_to_a_surrogate: "<a>&#xD800;</a>" => Character at 3;
    a_reference_to_a_noncharacter: "<a>&#xFFFE;</a>" => Character at 3;
    a_reference_beyond_unicode: "<a>&#x110000;</a>" => Character at 3;
    a_reference_to_nul_in_a_value: "<a b='c&#0;'/>" => Character at 7;
    a_reference_to_a_surrogate_in_a_value: "<a b='&#57343;'/>" => Character at 6;
    a_reference_of_nine_digits: "<a>&#000000065;</a>" => Reference at 3;
    a_reference_without_digits: "<a>&#;</a>" => Reference at 3;
    a_reference_without_hex_digits: "<a>&#x;</a>" => Reference at 3;
    a_reference_with_a_large_x: "<a>&#X41;</a>" => Reference at 3;
    a_reference_with_a_sign: "<a>&#+65;</a>" => Reference at 3;
    a_reference_with_hex_digits_but_no_x: "<a>&#4A;</a>" => Reference at 3;
    a_reference_with_foreign_digits: "<a>&#\u{661};</a>" => Reference at 3;
    a_reference_without_semicolon: "<a>&amp</a>" => Reference at 3;
    a_reference_without_semicolon_in_a_value: "<a b='&amp'/>" => Reference at 6;
    a_reference_with_a_space: "<a>& amp;</a>" => Reference at 3;
    an_empty_reference: "<a>&;</a>" => Reference at 3;
    a_lone_ampersand: "<a>b & c</a>" => Reference at 5;
    ampersands_in_a_row: "<a>&&amp;</a>" => Reference at 3;
    the_end_of_cdata_in_text: "<a>]]></a>" => CDataEnd at 3;
    the_end_of_cdata_after_brackets: "<a>]]]]></a>" => CDataEnd at 5;
    a_carriage_return_in_a_value: "<a b='c\rd'/>" => CarriageReturn at 7;
    a_carriage_return_at_the_end_of_a_value: "<a b='c\r'/>" => CarriageReturn at 7;
    a_carriage_return_before_a_reference: "<a b='\r&#10;'/>" => CarriageReturn at 6;
    a_carriage_return_in_the_name_of_a_namespace: "<a xmlns='u\r'/>" => CarriageReturn at 11;
    a_carriage_return_after_a_bracket_in_cdata: "<a><![CDATA[]\r\n]]></a>" => CarriageReturn at 13;

    a_name_with_a_digit_in_front: "<1a/>" => Name at 1;
    a_name_with_a_dollar: "<a$b/>" => Name at 1;
    a_name_with_an_exclamation_mark: "<a!b/>" => Name at 1;
    a_name_with_two_colons: "<a:b:c/>" => Name at 1;
    a_name_that_is_a_colon: "<:/>" => Name at 1;
    a_name_with_an_empty_prefix: "<:a/>" => Name at 1;
    a_name_with_nothing_after_the_prefix: "<a:/>" => Name at 1;
    a_local_name_with_a_digit_in_front: "<p:1 xmlns:p='u'/>" => Name at 1;
    a_name_with_a_vertical_tab: "<a\u{B}/>" => Name at 1;
    a_name_with_a_no_break_space: "<a\u{A0}b='c'/>" => Name at 1;
    a_name_with_a_times_sign: "<a\u{D7}/>" => Name at 1;
    a_name_of_the_fifth_edition_only: "<\u{2C00}/>" => Name at 1;
    a_name_outside_the_basic_plane: "<\u{10000}/>" => Name at 1;
    a_name_with_a_combining_character_in_front: "<\u{300}a/>" => Name at 1;
    a_space_in_front_of_the_name: "< a/>" => Name at 1;
    an_empty_tag: "<>" => Name at 1;
    a_tag_of_a_slash: "</>" => EndTag at 0;
    a_tag_of_two_slashes: "<a//>" => AttributeSpace at 2;
    a_slash_and_a_space: "<a/ >" => AttributeSpace at 2;
    an_attribute_with_a_digit_in_front: "<a 1b='c'/>" => Name at 3;
    an_attribute_with_two_colons: "<a b:c:d='e'/>" => Name at 3;
    an_attribute_with_an_empty_prefix: "<a :b='c'/>" => Name at 3;
    an_attribute_without_a_name: "<a ='b'/>" => Name at 3;
    an_attribute_without_a_value: "<a b/>" => AttributeValue at 4;
    an_attribute_with_two_equals_signs: "<a b=='c'/>" => AttributeValue at 5;
    an_attribute_without_quotes: "<a b=c/>" => AttributeValue at 5;
    an_attribute_with_backticks: "<a b=`c`/>" => AttributeValue at 5;
    no_space_between_attributes: "<a b='c'd='e'/>" => AttributeSpace at 8;
    no_space_after_the_name: "<a'b'/>" => AttributeSpace at 2;
    less_than_in_a_value: "<a b='<'/>" => LessThan at 6;
    less_than_in_the_name_of_a_namespace: "<a xmlns='<'/>" => LessThan at 10;
    an_attribute_twice: "<a b='' b=''/>" => DuplicateAttribute at 8;
    an_attribute_twice_after_one_that_looks_alike: "<a b='' mx='' b=''/>" => DuplicateAttribute at 14;
    an_attribute_twice_by_namespace: "<a xmlns:p='u' xmlns:q='u' p:b='' q:b=''/>" => DuplicateAttribute at 34;
    an_attribute_twice_by_a_namespace_outside: "<a xmlns:p='u'><b xmlns:q='&#x75;' p:b='' q:b=''/></a>" => DuplicateAttribute at 42;
    a_default_namespace_twice: "<a xmlns='u' xmlns='u'/>" => DuplicateAttribute at 13;
    a_prefix_twice: "<a xmlns:p='u' xmlns:p='v'/>" => DuplicateAttribute at 15;
    the_prefix_xml_twice: "<a xmlns:xml='http://www.w3.org/XML/1998/namespace' xmlns:xml='http://www.w3.org/XML/1998/namespace'/>"
        => DuplicateAttribute at 52;

    an_unbound_prefix: "<p:a/>" => Prefix at 0;
    an_unbound_prefix_of_an_attribute: "<a p:b='c'/>" => Prefix at 3;
    a_prefix_used_outside_of_its_element: "<a><b xmlns:p='u'/><p:c/></a>" => Prefix at 19;
    a_prefix_declared_as_nothing: "<a xmlns:p=''/>" => EmptyPrefix at 3;
    the_prefix_xmlns_declared: "<a xmlns:xmlns='u'/>" => ReservedPrefix at 3;
    the_prefix_xmlns_declared_as_itself: "<a xmlns:xmlns='http://www.w3.org/2000/xmlns/'/>" => ReservedPrefix at 3;
    the_prefix_xmlns_on_an_element: "<xmlns:a/>" => ReservedPrefix at 0;
    the_prefix_xml_declared_as_something_else: "<a xmlns:xml='u'/>" => ReservedPrefix at 3;
    another_prefix_for_the_namespace_of_xml: "<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>" => ReservedPrefix at 3;
    another_prefix_for_the_namespace_of_xmlns: "<a xmlns:p='http://www.w3.org/2000/xmlns/'/>" => ReservedPrefix at 3;
    the_namespace_of_xml_as_default: "<a xmlns='http://www.w3.org/XML/1998/namespace'/>" => ReservedPrefix at 3;
    the_namespace_of_xmlns_as_default: "<a xmlns='http://www.w3.org/2000/xmlns/'/>" => ReservedPrefix at 3;
}

fn refuses(document: &[u8], at: usize, rule: Rule) {
    let error = Element::read(document, "").unwrap_err();
    assert_eq!((error.at, error.rule), (at, rule));
}

#[test]
fn bytes_that_are_not_utf8() {
    refuses(b"<a>\xFF</a>", 3, Rule::NotUtf8);
    // Overlong, a surrogate, beyond Unicode, cut off.
    refuses(b"<a>\xC0\x80</a>", 3, Rule::NotUtf8);
    refuses(b"<a>\xED\xA0\x80</a>", 3, Rule::NotUtf8);
    refuses(b"<a>\xF4\x90\x80\x80</a>", 3, Rule::NotUtf8);
    refuses(b"<a>\xE2\x82</a>", 3, Rule::NotUtf8);
    refuses(&[0xFE, 0xFF, 0, b'<', 0, b'a'], 0, Rule::NotUtf8);
}

#[test]
fn sixty_four_levels_pass_and_one_more_is_refused() {
    let nested = |depth: usize| [b"<a>".repeat(depth), b"</a>".repeat(depth)].concat();
    assert!(Element::read(&nested(64), "").is_ok());
    refuses(&nested(65), 64 * 3, Rule::Depth);
    refuses(&b"<a>".repeat(1_000_000), 64 * 3, Rule::Depth);
}

#[test]
fn sixty_four_attributes_pass_and_one_more_is_refused() {
    let with = |count: usize| {
        let attributes: String = (0..count).map(|i| format!(" a{i:02}=''")).collect();
        format!("<a{attributes}/>").into_bytes()
    };
    assert_eq!(Element::read(&with(64), "").unwrap().attrs.len(), 64);
    refuses(&with(65), 3 + 64 * 7, Rule::Attributes);
}

#[test]
fn declarations_in_scope_are_limited_to_128() {
    let declared = |range: std::ops::Range<usize>| {
        let each = range.map(|i| format!(" xmlns:p{i:03}='u'"));
        each.collect::<String>()
    };
    let on_one = |count: usize| format!("<a{}/>", declared(0..count)).into_bytes();
    assert!(Element::read(&on_one(128), "").is_ok());
    refuses(&on_one(129), 3 + 128 * 15, Rule::InScope);

    let level = declared(0..32);
    let nested = |levels: usize, inside: &str| {
        let (open, close) = (format!("<a{level}>"), "</a>");
        format!("{}{inside}{}", open.repeat(levels), close.repeat(levels)).into_bytes()
    };
    assert!(Element::read(&nested(4, ""), "").is_ok());
    let one_more = nested(4, "<b xmlns='u'/>");
    let error = Element::read(&one_more, "").unwrap_err();
    assert_eq!(error.rule, Rule::InScope);

    // What was so before does not count: it is how a stanza says where it belongs.
    let again = format!("<a xmlns='u'{}/>", declared(0..128)).into_bytes();
    assert!(Element::read(&again, "u").is_ok());
    let error = Element::read(&again, "v").unwrap_err();
    assert_eq!(error.rule, Rule::InScope);
    // One after the other they do not add up.
    let siblings = format!("<a>{}</a>", format!("<a{level}/>").repeat(100));
    assert!(Element::read(siblings.as_bytes(), "").is_ok());
}

#[test]
fn a_namespace_of_1024_bytes_passes_and_one_more_is_refused() {
    let long = |bytes: usize| "é".repeat(bytes / 2) + &"u".repeat(bytes % 2);
    for declaration in ["xmlns", "xmlns:p"] {
        let with = |name: &str| format!("<a {declaration}='{name}'/>").into_bytes();
        assert!(Element::read(&with(&long(1024)), "").is_ok());
        refuses(&with(&long(1025)), 3, Rule::NamespaceLength);
        // What references stand for counts.
        assert!(Element::read(&with(&"&#x75;".repeat(1024)), "").is_ok());
        refuses(&with(&"&amp;".repeat(1025)), 3, Rule::NamespaceLength);
    }
}

#[test]
fn the_error_holds_nothing_of_the_document() {
    let error = Element::read(b"<secret>\x01</secret>", "").unwrap_err();
    assert_eq!(
        error.to_string(),
        "at byte 8: a character that XML cannot carry (XML 1.0 \u{A7}2.2)"
    );
    assert!(!format!("{error:?}").contains("secret"));
}
