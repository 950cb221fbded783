#!/usr/bin/env python3
"""Makes the committed corpus anew from `tests/samples` and `tests/vectors`: small honest inputs of each target. Finds are kept beside them."""
import base64, json, pathlib, re, struct, subprocess, sys, tempfile, zipfile

here = pathlib.Path(__file__).parent
samples, corpus = here.parent / "samples", here / "corpus"


def put(target, name, data):
    (corpus / target).mkdir(parents=True, exist_ok=True)
    (corpus / target / name).write_bytes(data)


def framed(path):
    """The parts of a package, as the target `paper` reads them."""
    out = b""
    with zipfile.ZipFile(path) as z:
        for info in z.infolist():
            if not info.is_dir():
                for piece in (info.filename.encode(), z.read(info)):
                    out += struct.pack("<H", len(piece)) + piece
    return out


def pem(path):
    return base64.b64decode("".join(re.findall(r"-----BEGIN CERTIFICATE-----(.*?)-----END", path.read_text(), re.S)[0].split()))


for name in ("type-sign-raw-sm2", "v4signed", "unsigned-minimal"):
    put("container", name, (samples / f"ofd/{name}.ofd").read_bytes())
    put("paper", name, framed(samples / f"ofd/{name}.ofd"))
put("paper", "allprotected", framed(samples / "ofd/allprotected.ofd"))
with zipfile.ZipFile(samples / "ofd/v4signed.ofd") as z:
    for part in z.namelist():
        if part.endswith(("OFD.xml", "Signature.xml", "Signatures.xml", "Document.xml")):
            put("xml", part.replace("/", "-"), z.read(part))
put("xml", "all-kinds", b"<?xml version='1.0' encoding=\"UTF-8\"?><o:A xmlns:o='u' K='&lt;1'>a&amp;<!--c--><![CDATA[<b]]><o:B/>&#x4e2d;</o:A>")
put("seal", "detached-suzhou", (samples / "detached/suzhou-civil-affairs-elicence-seal/SignedValue.dat").read_bytes())
put("seal", "detached-p7", (samples / "detached/yunnan-mobile-gov-p7/SignedValue.dat").read_bytes())
put("seal", "UserV5.esl", (samples / "seal/UserV5.esl").read_bytes())
with zipfile.ZipFile(samples / "ofd/v1-seal-ok-signature-broken.ofd") as z:
    put("seal", "v1-seal", z.read(next(n for n in z.namelist() if n.endswith("Seal.esl"))))
with zipfile.ZipFile(samples / "ofd/type-sign-raw-sm2.ofd") as z:
    put("seal", "raw", z.read(next(n for n in z.namelist() if n.endswith("SignedValue.dat"))))
for name in ("root", "user", "sealer"):
    put("x509", name, pem(samples / f"cert/ofdrw-{name}.pem"))
put("x509", "chain.pem", b"".join((samples / f"cert/ofdrw-{n}.pem").read_bytes() for n in ("user", "root")))
vectors = json.loads((here.parent / "vectors/receipt.json").read_text())
case = vectors["cases"][0]
put("note", "trust", case["trustNote"].encode())
put("note", "checkpoint", vectors["steps"]["checkpoint"].encode())
put("note", "vkey", vectors["keys"]["logVkey"].encode())
put("note", "trust-text", case["trustNote"].split("\n\n")[0].encode() + b"\n")
put("evidence", "found", case["evidence"].encode())
put("evidence", "refused", next(c["evidence"] for c in vectors["cases"] if c["good"] and "refus" in c["name"]).encode())
put("rows", "utf8", b"\x00" + "姓名,备注\n演示甲,\"a,\"\"b\"\"\"\n演示乙,\n".encode())
put("rows", "gb18030", b"\x01" + "name,备注\n演示甲,x\n".encode("gb18030"))
put("rows", "lines", b"\x82" + '{"name":"演示甲","note":null}\n{"name":1,"certificates":"YQ== Yg=="}\n'.encode())
with tempfile.TemporaryDirectory() as folder:
    subprocess.run([sys.executable, here.parent / "papers/forge.py", folder, "1"], check=True)
    forged = pathlib.Path(folder)
    put("x509", "crl", (forged / "anchors/revoked-before/revocation.crl").read_bytes())
    put("x509", "intermediate.pem", (forged / "anchors/intermediates/intermediate.pem").read_bytes())
    for name in ("control-sealed", "control-envelope-chain", "control-envelope-attributes", "control-revoked-later"):
        put("paper", name, framed(forged / f"{name}.ofd"))
