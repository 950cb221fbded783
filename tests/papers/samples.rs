//! Files nobody here made, column by column against what an independent check found.
use crate::judged::{by_command, sample};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const USER: &str = "cert/ofdrw-user.pem";

/// The rows of expected.tsv, each by column name.
fn rows() -> Vec<serde_json::Map<String, Value>> {
    let text = std::fs::read_to_string(sample("expected.tsv")).unwrap();
    let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    lines
        .map(|row| {
            header
                .iter()
                .enumerate()
                .map(|(at, name)| ((*name).to_owned(), json!(row.get(at).unwrap_or(&""))))
                .collect()
        })
        .collect()
}

fn judged(file: &str) -> (i32, Value) {
    let path = sample(file);
    let known = sample(USER).display().to_string();
    if file.starts_with("detached/") {
        let part = |name: &str| path.join(name).display().to_string();
        return by_command(&["--signature", &part("Signature.xml"), "--signed-value", &part("SignedValue.dat")]);
    }
    let path = path.display().to_string();
    // A bare signature names nobody: its signer must be known.
    if file.contains("raw-sm2") { by_command(&[&path, "--anchors", &known]) } else { by_command(&[&path]) }
}

#[test]
fn every_column_of_every_sample_is_as_the_oracle_says() {
    let mut columns = 0;
    for row in rows() {
        let want = |column: &str| row[column].as_str().unwrap();
        let (file, id) = (want("file"), want("sig"));
        let (code, report) = judged(file);
        let signatures = report["signatures"].as_array().unwrap();
        if want("type") == "unsigned" {
            assert_eq!((signatures.len(), code, report["verdict"].as_str().unwrap()), (0, 1, "not-valid"), "{file}");
            continue;
        }
        let one = match id {
            "-" => &signatures[0],
            _ => signatures.iter().find(|s| s["id"] == id).unwrap_or_else(|| panic!("{file}: no signature {id}")),
        };
        let detached = id == "-";
        let mut hold = |column: &str, found: String| {
            assert_eq!(found, want(column), "{file} {id}, {column}: {one:#}");
            columns += 1;
        };
        let yes = |value: &Value| {
            match value.as_bool() {
                None => "",
                Some(true) => "yes",
                Some(false) => "no",
            }
            .to_owned()
        };
        let word = |value: &Value| {
            match value.as_str().unwrap() {
                "ok" => "ok",
                "bad" => "BAD",
                _ => "",
            }
            .to_owned()
        };
        let container = one["container"].as_str().unwrap();
        let (kind, version) = container.split_once('-').filter(|(kind, _)| *kind == "SES").unwrap_or((container, ""));
        let attributes = if one["signed_attributes"] == true { "+attrs" } else { "" };
        hold("kind", format!("{kind}{attributes}"));
        hold("ver", version.to_owned());
        hold("hash", word(&one["data_hash"]));
        hold("sig_ok", word(&one["signature"]));
        if one["signature"] == "ok" {
            hold("enc", one["encoding"].as_str().unwrap().to_owned());
        }
        hold("sealsig", word(&one["seal_signature"]));
        let digits: String =
            one["signed_at"].as_str().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
        hold("time_utc", digits);
        // For an unsigned time there is nothing the signer could be held against.
        hold("signer_at", yes(&one["signer_valid_at_signing"]));
        hold("seal_at", yes(&one["seal_valid_at_signing"]));
        hold("maker_at_create", yes(&one["maker_valid_at_creation"]));
        hold("maker_at_sign", yes(&one["maker_valid_at_signing"]));
        hold(
            "signer_in_list",
            match one["signer_in_list"].as_bool() {
                None => "",
                Some(true) => "ok",
                Some(false) => "BAD",
            }
            .to_owned(),
        );
        hold("seal_name", one["seal_name"].as_str().unwrap_or_default().to_owned());
        if detached {
            continue;
        }
        let stated = if one["type_stated"] == true { "" } else { "(default)" };
        hold("type", format!("{}{stated}", one["type"].as_str().unwrap()));
        hold("refs_ok", one["references_ok"].to_string());
        let set = |text: &str| text.split(',').filter(|s| !s.is_empty()).map(str::to_owned).collect::<BTreeSet<_>>();
        let found = |field: &Value| {
            field.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
        };
        assert_eq!(found(&one["references_bad"]), set(want("refs_bad")), "{file} {id}");
        assert_eq!(found(&one["uncovered"]), set(want("uncovered")), "{file} {id}");
        hold(
            "sealfile",
            if one["seal_file"] == "absent" { "".to_owned() } else { one["seal_file"].as_str().unwrap().to_owned() },
        );
    }
    assert!(columns >= 182, "only {columns} cells were held");
}

#[test]
fn exit_codes_say_valid_not_valid_unreadable_and_uncovered() {
    for (file, code, verdict, word) in [
        ("ofd/v4signed.ofd", 0, "valid-but-not-anchored", "需人工核对"),
        ("ofd/allprotected.ofd", 0, "valid-but-not-anchored", "需人工核对"),
        ("ofd/v4signed-altered-document.ofd", 1, "not-valid", "文件被改动"),
        ("ofd/SESV4SignDoc.ofd", 1, "not-valid", "印章无效"),
        ("ofd/v1-seal-ok-signature-broken.ofd", 1, "not-valid", "文件被改动"),
        ("ofd/unsigned-minimal.ofd", 1, "not-valid", "没有签名"),
        ("ofd/relative-paths-ofdxml-uncovered.ofd", 3, "valid-but-uncovered", "部分内容未受保护"),
        // Its signer's certificate is under no seal: without an anchor nobody vouches for what it says.
        ("ofd/licence-yunnan-landuse-p7-sign.ofd", 3, "valid-but-uncovered", "部分内容未受保护"),
        ("ofd/type-sign-raw-sm2.ofd", 0, "valid", "有效"),
        ("detached/suzhou-civil-affairs-elicence-seal", 0, "valid-but-not-anchored", "未见原文件"),
    ] {
        let (found, report) = judged(file);
        assert_eq!((found, report["verdict"].as_str().unwrap()), (code, verdict), "{file}: {report:#}");
        assert!(report["words"].as_str().unwrap().contains(word), "{file}: {}", report["words"]);
    }
    let readme = sample("README.md").display().to_string();
    assert_eq!(by_command(&[&readme]).0, 2);
    assert_eq!(by_command(&["no-such-file.ofd"]).0, 2);
}

#[test]
fn anchors_decide_whom_a_paper_is_believed_from() {
    let path = sample("ofd/allprotected.ofd").display().to_string();
    let root = sample("cert/ofdrw-root.pem").display().to_string();
    let (code, report) = by_command(&[&path, "--anchors", &root]);
    assert_eq!((code, &report["trust"], &report["verdict"]), (0, &json!("anchored"), &json!("valid")));
    assert!(report["words"].as_str().unwrap().starts_with("有效"), "{}", report["words"]);
    assert_eq!(by_command(&[&path, "--anchors", &root, "--require-anchor"]).0, 0);
    let (_, report) = by_command(&[&path]);
    assert_eq!(report["trust"], "not-anchored");
    assert_eq!(report["signatures"][0]["verdict"], "valid-but-not-anchored");
    // The tax bureau's test CA is not this root.
    let tax = sample("ofd/v4signed.ofd").display().to_string();
    assert_eq!(by_command(&[&tax, "--anchors", &root]).0, 1);
    // Trusted for signing alone, its seal's maker is not.
    let (code, report) = by_command(&[&tax, "--anchors", &format!("seal-maker={root}")]);
    let reasons = report["signatures"][0]["reasons"].clone();
    assert_eq!((code, reasons), (1, json!(["maker-certificate"])));
    assert_eq!(by_command(&[&path, "--profile", "strict-2025"]).0, 1, "strict: what is not checked does not hold");
    let raw = sample("ofd/type-sign-raw-sm2.ofd").display().to_string();
    let (code, report) = by_command(&[&raw]);
    assert_eq!((code, report["signatures"][0]["signature"].as_str().unwrap()), (1, "unknown-key"));
}

#[test]
fn what_nobody_configured_vouches_for_never_reads_like_a_trusted_paper() {
    let path = |file: &str| sample(file).display().to_string();
    let pair = path("detached/zhejiang-tax");
    let (xml, dat) = (format!("{pair}/Signature.xml"), format!("{pair}/SignedValue.dat"));
    let papers: [(Vec<String>, i32); 4] = [
        (vec![path("ofd/v4signed.ofd")], 0),
        (vec![path("ofd/relative-paths-ofdxml-uncovered.ofd")], 3),
        (vec!["--signature".into(), xml, "--signed-value".into(), dat], 0),
        (vec!["--seal".into(), path("seal/UserV5.esl"), "--profile".into(), "lenient-history".into()], 0),
    ];
    for (args, code) in papers {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (plain, report) = by_command(&args);
        let words = report["words"].as_str().unwrap();
        assert!(plain == code && words.contains("需人工核对") && !words.contains("有效"), "{args:?}: {words}");
        assert!(report["words_en"].as_str().unwrap().contains("not checked"), "{args:?}: {}", report["words_en"]);
        assert_ne!(report["verdict"], "valid");
        assert_eq!(by_command(&[args.as_slice(), &["--require-anchor"]].concat()).0, 4, "{args:?}");
    }
    // What is not valid anyway stays so.
    assert_eq!(by_command(&[&path("ofd/v4signed-altered-document.ofd"), "--require-anchor"]).0, 1);
    assert_eq!(by_command(&[&path("README.md"), "--require-anchor"]).0, 2);
}

#[test]
fn every_field_a_report_promises_stands_in_it() {
    let (_, report) = judged("ofd/allprotected.ofd");
    for field in ["verdict", "words", "words_en", "kind", "sm3", "profile", "trust", "faults", "uncovered", "documents"]
    {
        assert!(!report[field].is_null(), "{field}");
    }
    let one = report["signatures"][0].as_object().unwrap();
    for field in [
        "id",
        "type",
        "container",
        "references_ok",
        "references_bad",
        "uncovered",
        "data_hash",
        "signature",
        "seal_signature",
        "seal_file",
        "signer_in_list",
        "signer_valid_at_signing",
        "seal_valid_at_signing",
        "maker_valid_at_creation",
        "maker_valid_at_signing",
        "signed_at",
        "seal_name",
        "steps",
        "verdict",
    ] {
        assert!(one.get(field).is_some_and(|value| !value.is_null()), "{field}: {one:?}");
    }
    let steps = one["steps"].as_array().unwrap();
    assert!(steps.len() > 15 && steps.iter().all(|s| s["step"].is_string() && s["outcome"].is_string()));
}

#[test]
fn a_lone_seal_is_judged_as_if_used_now() {
    for (file, container, signature) in
        [("UserV1.esl", "SES-1", "ok"), ("UserV5.esl", "SES-5", "ok"), ("SESealData-badsig.esl", "SES-4", "bad")]
    {
        let path = sample("seal").join(file).display().to_string();
        let (code, report) = by_command(&["--seal", &path]);
        assert_eq!(
            (report["seal"]["container"].as_str().unwrap(), report["seal"]["seal_signature"].as_str().unwrap()),
            (container, signature)
        );
        assert_eq!(code, 1, "{file}: its dates or its maker's are over");
    }
    let v5 = sample("seal/UserV5.esl").display().to_string();
    assert_eq!(by_command(&["--seal", &v5, "--profile", "lenient-history"]).0, 0);
}

#[test]
fn pdf_and_pictures_are_recognised_and_never_called_more_than_kept() {
    for (bytes, kind) in
        [(&b"%PDF-1.7 rest"[..], "pdf"), (b"\x89PNG\r\n\x1a\nrest", "png"), (b"\xff\xd8\xff\xe0rest", "jpeg")]
    {
        let report = crate::judged::bytes(bytes, &[]);
        assert_eq!(
            (report.verdict.code(), report.json["verdict"].as_str().unwrap(), report.json["kind"].as_str().unwrap()),
            (1, "not-verified", kind)
        );
        assert_eq!(report.json["sm3"].as_str().unwrap().len(), 64);
    }
}
