#!/usr/bin/env python3
"""Makes papers to deceive a judge with, and what should be said of each. Standard library only.

    forge.py FOLDER [PORT]

SM2, SM3, DER, X.509, seals and ZIP are written anew here, from the standards and not from the program judged, so that the honest
files among them ("control") are a second opinion on both. PORT is a listener that nobody may call.
Writes the files and `cases.json`: file, anchors, profile, exit code, and a word the verdict must name as its reason.
"""
import base64, hashlib, json, os, struct, sys, zlib

# --- SM3 and SM2 (GB/T 32905, GB/T 32918) ---------------------------------------------------------------------------------------
def sm3(data):
    rot = lambda x, n: ((x << n) | (x >> (32 - n))) & 0xFFFFFFFF if n % 32 else x
    v = [0x7380166F, 0x4914B2B9, 0x172442D7, 0xDA8A0600, 0xA96F30BC, 0x163138AA, 0xE38DEE4D, 0xB0FB0E4E]
    data = data + b"\x80" + b"\0" * ((55 - len(data)) % 64) + struct.pack(">Q", 8 * len(data))
    p1 = lambda x: x ^ rot(x, 15) ^ rot(x, 23)
    for at in range(0, len(data), 64):
        w = list(struct.unpack(">16I", data[at : at + 64]))
        for j in range(16, 68):
            w.append(p1(w[j - 16] ^ w[j - 9] ^ rot(w[j - 3], 15)) ^ rot(w[j - 13], 7) ^ w[j - 6])
        a, b, c, d, e, f, g, h = v
        for j in range(64):
            t = 0x79CC4519 if j < 16 else 0x7A879D8A
            ss1 = rot((rot(a, 12) + e + rot(t, j % 32)) & 0xFFFFFFFF, 7)
            ss2 = ss1 ^ rot(a, 12)
            ff = a ^ b ^ c if j < 16 else (a & b) | (a & c) | (b & c)
            gg = e ^ f ^ g if j < 16 else (e & f) | (~e & g & 0xFFFFFFFF)
            tt1 = (ff + d + ss2 + (w[j] ^ w[j + 4])) & 0xFFFFFFFF
            tt2 = (gg + h + ss1 + w[j]) & 0xFFFFFFFF
            d, c, b, a, h, g, f = c, rot(b, 9), a, tt1, g, rot(f, 19), e
            e = tt2 ^ rot(tt2, 9) ^ rot(tt2, 17)
        v = [x ^ y for x, y in zip(v, [a, b, c, d, e, f, g, h])]
    return struct.pack(">8I", *v)

try:  # the same digest, faster, where OpenSSL brings it
    if hashlib.new("sm3", b"abc").digest() == sm3(b"abc"):
        slow_sm3, sm3 = sm3, lambda data: hashlib.new("sm3", data).digest()
except ValueError:
    pass

P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = P - 3
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
G = (0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
     0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0)
num = lambda n: n.to_bytes(32, "big")

def add(p, q):
    if p is None: return q
    if q is None: return p
    if p[0] == q[0]:
        if (p[1] + q[1]) % P == 0: return None
        s = (3 * p[0] * p[0] + A) * pow(2 * p[1], -1, P) % P
    else:
        s = (q[1] - p[1]) * pow(q[0] - p[0], -1, P) % P
    x = (s * s - p[0] - q[0]) % P
    return x, (s * (p[0] - x) - p[1]) % P

def times(k, p):
    out = None
    while k:
        if k & 1: out = add(out, p)
        p, k = add(p, p), k >> 1
    return out

class Key:
    def __init__(self, name):
        self.d = int.from_bytes(sm3(b"key " + name.encode()) , "big") % (N - 2) + 1
        self.q = times(self.d, G)
        self.point = b"\4" + num(self.q[0]) + num(self.q[1])
    def numbers(self, message, user=b"1234567812345678"):
        z = sm3(struct.pack(">H", 8 * len(user)) + user + num(A) + num(B) + num(G[0]) + num(G[1]) + self.point[1:])
        e = int.from_bytes(sm3(z + message), "big")
        k = int.from_bytes(sm3(num(self.d) + sm3(message)), "big") % (N - 1) + 1
        r = (e + times(k, G)[0]) % N
        return r, pow(1 + self.d, -1, N) * (k - r * self.d) % N
    def sign(self, message, **how):
        return seq(*map(integer, self.numbers(message, **how)))

# --- DER -----------------------------------------------------------------------------------------------------------------------
def tlv(tag, *parts):
    body = b"".join(parts)
    if len(body) < 128: return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + body
seq = lambda *p: tlv(0x30, *p)
integer = lambda n: tlv(2, n.to_bytes(n.bit_length() // 8 + 1, "big"))
octets, bits, utf8, ia5 = lambda b: tlv(4, b), lambda b: tlv(3, b"\0" + b), lambda s: tlv(12, s.encode()), lambda s: tlv(22, s.encode())
gtime, utime = lambda s: tlv(24, s.encode() + b"Z"), lambda s: tlv(23, s[2:].encode() + b"Z")
def oid(text):
    parts = list(map(int, text.split(".")))
    out = b""
    for n in [40 * parts[0] + parts[1]] + parts[2:]:
        chunk = [n & 127]
        while n > 127:
            n >>= 7
            chunk.append(n & 127 | 128)
        out += bytes(reversed(chunk))
    return tlv(6, out)
TRUE, NULL = tlv(1, b"\xff"), tlv(5)
SM2SM3, SM3OID, SM2SIGN = oid("1.2.156.10197.1.501"), oid("1.2.156.10197.1.401"), oid("1.2.156.10197.1.301.1")

# --- certificates --------------------------------------------------------------------------------------------------------------
class Party:
    """A key with its certificate."""
    serial = 0
    def __init__(self, name, issuer=None, ca=False, since="20200101000000", until="20400101000000", usage=None, length=None,
                 more=b"", point=None, organisation="91110000600037341L演示机关", eku=None, url=None):
        Party.serial += 1
        self.serial = integer(Party.serial)
        self.name, self.key = dn(name, organisation), Key(name)
        issuer = issuer or self
        self.issuer_name = issuer.name
        ext = lambda id, value, critical=True: seq(oid(id), TRUE if critical else b"", octets(value))
        usage = usage if usage is not None else (0x06 if ca else 0xC0)
        list_of = ext("2.5.29.19", seq(TRUE if ca else b"", integer(length) if length is not None else b""))
        list_of += ext("2.5.29.15", tlv(3, bytes([(usage & -usage).bit_length() - 1, usage]))) + more
        if eku: list_of += ext("2.5.29.37", seq(oid(eku)))
        if url:
            list_of += ext("2.5.29.31", seq(seq(tlv(0xA0, tlv(0xA0, tlv(0x86, url.encode()))))), False)
            list_of += ext("1.3.6.1.5.5.7.1.1", seq(seq(oid("1.3.6.1.5.5.7.48.2"), tlv(0x86, url.encode()))), False)
        spki = seq(seq(oid("1.2.840.10045.2.1"), oid("1.2.156.10197.1.301")), bits(point or self.key.point))
        tbs = seq(tlv(0xA0, integer(2)), self.serial, seq(SM2SM3), issuer.name, seq(gtime(since), gtime(until)), self.name, spki,
                  tlv(0xA3, seq(list_of)))
        self.cert = seq(tbs, seq(SM2SM3), bits(issuer.key.sign(tbs)))
def dn(name, organisation):
    rdn = lambda id, value: tlv(0x31, seq(oid(id), value))
    return seq(rdn("2.5.4.6", tlv(19, b"CN")), rdn("2.5.4.10", utf8(organisation)), rdn("2.5.4.3", utf8(name)))
def crl(issuer, revoked, key=None, since="20240101000000", until="20300101000000"):
    rows = seq(*[seq(p.serial, gtime(at)) for p, at in revoked]) if revoked else b""
    tbs = seq(integer(1), seq(SM2SM3), issuer.name, gtime(since), gtime(until), rows)
    return seq(tbs, seq(SM2SM3), bits((key or issuer.key).sign(tbs)))
def pem(*parties, label="CERTIFICATE"):
    block = lambda b: f"-----BEGIN {label}-----\n" + base64.encodebytes(b).decode() + f"-----END {label}-----\n"
    return "".join(block(p if isinstance(p, bytes) else p.cert) for p in parties)

ROOT = Party("演示根", ca=True)
MAKER = Party("演示制章", ROOT)
SIGNER = Party("11010100000001", ROOT)
TSA = Party("演示时间戳", ROOT, eku="1.3.6.1.5.5.7.3.8")
EVIL = Party("演示根 ", ca=True)

# --- seals ---------------------------------------------------------------------------------------------------------------------
def seal(maker=MAKER, signers=(SIGNER,), since="20230101000000", until="20330101000000", created="20230101000000", version=4,
         picture=b"\x89PNG a seal that says it is for show", digests=False, extra=b"", stamp=None, name="演示印章"):
    header = seq(ia5("ES"), integer(version), ia5("DEMO"))
    time = utime if version == 1 else gtime
    if version == 1: listed = seq(*[octets(s.cert) for s in signers])
    elif digests: listed = integer(2) + seq(*[seq(tlv(19, b"SM3"), octets(sm3(s.cert))) for s in signers])
    else: listed = integer(1) + seq(*[octets(s.cert) for s in signers])
    info = seq(header, ia5("11010100000001"), seq(integer(3), utf8(name), listed, time(created), time(since), time(until)),
               seq(ia5("png"), octets(picture), integer(40), integer(40)), extra)
    if version == 1:
        return seq(info, seq(octets(maker.cert), SM2SM3, bits(maker.key.sign(seq(info, octets(maker.cert), SM2SM3)))))
    value = maker.key.sign(info)
    return seq(info, octets(maker.cert), SM2SM3, bits(value), tlv(0xA0, bits(token(value, **stamp))) if stamp is not None else b"")
SEAL = seal()

def seal_signature(xml, path, sealed=SEAL, signer=SIGNER, at="20260101000000", version=4, digest=None, property=None, algorithm=SM2SM3,
                   extensions=b"", value=None, sign=None, cert=None, stamp=None):
    digest = sm3(xml) if digest is None else digest
    property = "/" + path if property is None else property
    if version == 1:
        tbs = seq(integer(1), sealed, bits((at + "Z").encode()), bits(digest), ia5(property), octets(cert or signer.cert), algorithm)
        return seq(tbs, bits(signer.key.sign(tbs)))
    tbs = seq(integer(version), sealed, gtime(at), bits(digest), ia5(property), tlv(0xA0, extensions) if extensions else b"")
    made = value if value is not None else sign(tbs) if sign else signer.key.sign(tbs)
    return seq(tbs, octets(cert or signer.cert), algorithm, bits(made), tlv(0xA0, bits(token(made, **stamp))) if stamp is not None else b"")

def token(stamped, authority=TSA, at="20260101000001", over=None):
    imprint = seq(seq(SM3OID), octets(sm3(over if over is not None else stamped)))
    info = seq(integer(1), oid("1.2.3.4"), imprint, integer(7), gtime(at))
    return envelope(None, authority, content=info, kind="1.2.840.113549.1.9.16.1.4", outer="1.2.840.113549.1.7.2")

def envelope(document, signer=SIGNER, attributes=True, content=None, kind="1.2.156.10197.6.1.4.2.1", outer="1.2.156.10197.6.1.4.2.2",
             certs=None, signers=1, twice=False, digest=None, at="20260101000000", more=b""):
    attribute = lambda id, value: seq(oid(id), tlv(0x31, value))
    digest = digest or sm3(content if content is not None else document)
    inside = attribute("1.2.840.113549.1.9.3", oid(kind)) + attribute("1.2.840.113549.1.9.5", utime(at))
    inside += attribute("1.2.840.113549.1.9.4", octets(digest)) * (2 if twice else 1)
    message = tlv(0x31, inside) if attributes else content if content is not None else document
    info = seq(integer(1), seq(signer.issuer_name, signer.serial), seq(SM3OID, NULL), tlv(0xA0, inside) if attributes else b"",
               seq(SM2SIGN, NULL), octets(signer.key.sign(message)))
    carried = b"".join(p.cert for p in (certs if certs is not None else [signer]))
    return seq(oid(outer), tlv(0xA0, seq(integer(1), tlv(0x31, seq(SM3OID, NULL)),
               seq(oid(kind), tlv(0xA0, octets(content)) if content is not None else b""), tlv(0xA0, carried), more, tlv(0x31, info * signers))))

# --- OFD -----------------------------------------------------------------------------------------------------------------------
X = '<?xml version="1.0" encoding="UTF-8"?>'
NS = 'xmlns:ofd="http://www.ofdspec.org/2016"'
BODY = "<ofd:DocBody><ofd:DocInfo><ofd:DocID>0123456789abcdef0123456789abcdef</ofd:DocID></ofd:DocInfo><ofd:DocRoot>Doc_0/Document.xml</ofd:DocRoot>{}</ofd:DocBody>"
SIGNS = "<ofd:Signatures>/Doc_0/Signs/Signatures.xml</ofd:Signatures>"
def ofd_xml(body=None): return f'{X}<ofd:OFD {NS} Version="1.0" DocType="OFD">{body or BODY.format(SIGNS)}</ofd:OFD>'.encode()
def content(parts=None):
    page = '<ofd:Page ID="1" BaseLoc="Pages/Page_0/Content.xml"/>'
    return {
        "OFD.xml": ofd_xml(),
        "Doc_0/Document.xml": f"{X}<ofd:Document {NS}><ofd:CommonData><ofd:MaxUnitID>9</ofd:MaxUnitID></ofd:CommonData><ofd:Pages>{page}</ofd:Pages></ofd:Document>".encode(),
        "Doc_0/PublicRes.xml": f"{X}<ofd:Res {NS} BaseLoc=\"Res\"/>".encode(),
        "Doc_0/Pages/Page_0/Content.xml": f"{X}<ofd:Page {NS}><ofd:Content><ofd:Layer ID=\"2\"><ofd:TextObject><ofd:TextCode>准予许可</ofd:TextCode></ofd:TextObject></ofd:Layer></ofd:Content></ofd:Page>".encode(),
        "Doc_0/Res/face.png": b"\x89PNG\r\n\x1a\n the face of a licence",
        **(parts or {}),
    }
def listing(*signatures, maximum=None, more=""):
    rows = "".join(f'<ofd:Signature ID="{i}"{f" Type={chr(34)}{t}{chr(34)}" if t else ""} BaseLoc="{b}"/>' for i, t, b in signatures)
    return f"{X}<ofd:Signatures {NS}><ofd:MaxSignId>{maximum or len(signatures)}</ofd:MaxSignId>{rows}{more}</ofd:Signatures>".encode()
def described(parts, method="1.2.156.10197.1.401", refs=None, seal_path=None, value_path="SignedValue.dat", algorithm="1.2.156.10197.1.501", extra="", wrap=""):
    rows = "".join(f'<ofd:Reference FileRef="{path}"><ofd:CheckValue>{base64.b64encode(d).decode()}</ofd:CheckValue></ofd:Reference>'
                   for path, d in (refs if refs is not None else [("/" + n, sm3(b)) for n, b in parts.items()]))
    named = f' CheckMethod="{method}"' if method else ""
    info = (f'<ofd:SignedInfo><ofd:Provider ProviderName="demo"/><ofd:SignatureMethod>{algorithm}</ofd:SignatureMethod>'
            f'<ofd:SignatureDateTime>20260101000000Z</ofd:SignatureDateTime><ofd:References{named}>{rows}</ofd:References>'
            + (f"<ofd:Seal><ofd:BaseLoc>{seal_path}</ofd:BaseLoc></ofd:Seal>" if seal_path else "") + extra + "</ofd:SignedInfo>")
    return f"{X}<ofd:Signature {NS}>{info}{wrap}<ofd:SignedValue>{value_path}</ofd:SignedValue></ofd:Signature>".encode()
FIRST = "Doc_0/Signs/Sign_0/Signature.xml"
def signed(parts=None, value=None, xml=None, kind="Seal", list_xml=None, beside=None, after=None, cover=None, **how):
    """A signed paper as a dict of parts. `value(xml)` makes the signature; `after(parts)` is what an attacker then does."""
    parts = dict(parts or content())
    seal_how = {k: how.pop(k) for k in list(how) if k in SEAL_HOW}
    if beside is not None: parts["Doc_0/Signs/Sign_0/Seal.esl"] = beside
    covered = {n: b for n, b in parts.items() if cover is None or cover(n)}
    xml = xml(covered) if xml else described(covered, seal_path="Seal.esl" if beside is not None else None, **how)
    parts[FIRST] = xml
    parts["Doc_0/Signs/Sign_0/SignedValue.dat"] = value(xml) if value else seal_signature(xml, FIRST, **seal_how)
    parts["Doc_0/Signs/Signatures.xml"] = list_xml if list_xml is not None else listing(("1", kind, "/" + FIRST))
    if after: after(parts)
    return parts
SEAL_HOW = {"sealed", "signer", "at", "version", "digest", "property", "sign", "cert", "extensions", "stamp"}

# --- ZIP -----------------------------------------------------------------------------------------------------------------------
class Entry:
    def __init__(self, name, data, method=8, **odd):
        self.name = name if isinstance(name, bytes) else name.encode()
        self.data, self.method, self.odd = data, method, odd
        self.packed = odd.get("packed") if "packed" in odd else data if method != 8 else deflate(data)
        self.crc, self.size = odd.get("crc", zlib.crc32(data)), odd.get("size", len(data))
def deflate(data):
    z = zlib.compressobj(9, zlib.DEFLATED, -15)
    return z.compress(data) + z.flush()
def zipped(entries, comment=b"", count=None, before=b"", disk=0, hide=()):
    out, rows = before, b""
    for n, e in enumerate(entries):
        at, o = len(out), e.odd
        flags = o.get("flags", 0x800)
        common = lambda **c: struct.pack("<HHHHIII", flags, e.method, 0, 33, c.get("crc", e.crc), c.get("packed", len(e.packed)), c.get("size", e.size))
        local_name, extra = o.get("local_name", e.name), o.get("extra", b"")
        if "reuse" in o:
            at = o["reuse"]
        else:
            out += b"PK\3\4" + struct.pack("<H", 20) + common(**o.get("local", {})) + struct.pack("<HH", len(local_name), len(o.get("local_extra", b"")))
            out += local_name + o.get("local_extra", b"") + e.packed + o.get("gap", b"")
        if n in hide: continue
        rows += b"PK\1\2" + struct.pack("<HH", 0x0314, 20) + common(**o.get("central", {})) + struct.pack("<HHHHHII", len(e.name), len(extra), 0, 0, 0, o.get("mode", 0o100644) << 16, at)
        rows += e.name + extra
    total = count if count is not None else len(entries) - len(hide)
    return out + rows + b"PK\5\6" + struct.pack("<HHHHIIH", disk, 0, total, total, len(rows), len(out), len(comment)) + comment
def packed(parts, method=8): return zipped([Entry(n, b, method=method) for n, b in parts.items()])

# --- the cases -----------------------------------------------------------------------------------------------------------------
CASES = []
def case(name, data, code, says=None, anchors="all", **more):
    data = packed(data) if isinstance(data, dict) else data
    CASES.append(dict(name=name, file=name + ".ofd", code=code, says=says, anchors=anchors, **more))
    with open(os.path.join(OUT, name + ".ofd"), "wb") as f:
        f.write(data)

def controls():
    case("control-sealed", signed(), 0)
    case("control-seal-beside", signed(beside=SEAL), 0)
    case("control-list-by-digest", signed(sealed=(s := seal(digests=True))), 0)
    case("control-v5", signed(sealed=seal(version=5), version=5), 0)
    case("control-v5-stamped", signed(sealed=seal(version=5, stamp={}, created="20230101000000"), version=5, stamp={}), 0)
    case("control-v1", signed(sealed=seal(version=1), version=1), 0)
    case("control-raw-numbers", signed(sign=lambda m: b"".join(map(num, SIGNER.key.numbers(m)))), 0)
    case("control-envelope-attributes", signed(kind="Sign", value=envelope), 0)
    case("control-envelope-content", signed(kind="Sign", value=lambda x: envelope(x, attributes=False, content=sm3(x))), 0)
    case("control-envelope-chain", signed(kind="Sign", value=lambda x: envelope(x, certs=[SIGNER, ROOT])), 0)
    case("control-zip-inside", signed(content({"Doc_0/Attachs/a.zip": packed({"x": b"y"})})), 0)
    case("control-non-ascii-name", signed(content({"Doc_0/Res/证照.png": b"\x89PNG"})), 0)
    case("control-revoked-later", signed(), 0, anchors="revoked-later")
    case("control-two-signatures", countersigned(), 0)
    case("control-calls-home", signed(signer=HOME, sealed=seal(signers=[HOME])), 0)

def countersigned(change=None):
    parts = signed(list_xml=listing(("1", "Seal", "/" + FIRST), ("2", "Seal", "Sign_1/Signature.xml")))
    if change: change(parts)
    second = "Doc_0/Signs/Sign_1/Signature.xml"
    xml = described(parts)
    parts[second] = xml
    parts["Doc_0/Signs/Sign_1/SignedValue.dat"] = seal_signature(xml, second)
    return parts

def containers():
    good = [Entry(n, b) for n, b in signed().items()]
    plus = lambda *e: zipped(good + list(e))
    case("junk-before", b"MZ junk" + zipped(good), 2, "unknown-kind")
    case("junk-before-with-offsets", zipped(good, before=b"<html><!--"), 2, "unknown-kind")
    case("junk-after", zipped(good) + b"\0", 2, "bad-directory")
    case("comment-after", zipped(good, comment=b"PK\5\6 a second end"), 2, "bad-directory")
    case("cut-short", zipped(good)[:-30], 2, "bad-directory")
    case("volumes", zipped(good, disk=1), 2, "bad-directory")
    case("count-too-small", zipped(good, count=len(good) - 1), 2, "bad-directory")
    case("count-65535", zipped(good, count=65535), 2, "too-many-entries")
    case("same-name-twice", plus(Entry("Doc_0/Pages/Page_0/Content.xml", b"<x/>")), 2, "name-stands-twice")
    case("two-ofd-xml", plus(Entry("OFD.xml", ofd_xml())), 2, "name-stands-twice")
    case("name-by-case", plus(Entry("DOC_0/pages/Page_0/Content.xml", b"<x/>")), 2, "name-stands-twice")
    case("part-and-folder", plus(Entry("OFD.xml/Doc_0", b"<x/>")), 2, "name-stands-twice")
    for n, name in enumerate(["../OFD.xml", "/OFD.xml", "Doc_0\\x.xml", "Doc_0/./x.xml", "Doc_0//x.xml", "Doc_0/x\0.xml", "C:x.xml", "Doc_0/x.xml ", "Doc_0/x.", "证照.xml".encode("gbk")]):
        case(f"bad-name-{n}", plus(Entry(name, b"<x/>")), 2, "bad-name")
    case("two-rows-one-entry", plus(Entry("Doc_0/x.xml", good[0].data, reuse=0)), 2, "entries-not-adjacent")
    case("hidden-entry", zipped(good[:3] + [Entry("Doc_0/hidden.xml", b"<x/>")] + good[3:], hide=(3,)), 2, "entries-not-adjacent")
    case("bytes-between", plus(Entry("Doc_0/x.xml", b"<x/>", gap=b"between")), 2, "entries-not-adjacent")
    case("other-local-name", plus(Entry("Doc_0/x.xml", b"<x/>", local_name=b"Doc_0/y.xml")), 2, "two-headers-differ")
    case("other-local-size", plus(Entry("Doc_0/x.xml", b"<x/>", local={"size": 5})), 2, "two-headers-differ")
    case("other-local-sum", plus(Entry("Doc_0/x.xml", b"<x/>", local={"crc": 5})), 2, "two-headers-differ")
    case("second-name", plus(Entry("Doc_0/x.xml", b"<x/>", extra=b"up" + struct.pack("<H", 6) + b"\1....y")), 2, "second-name")
    case("zip64-in-directory", plus(Entry("Doc_0/x.xml", b"<x/>", extra=struct.pack("<HHQQ", 1, 16, 4, 4))), 2, "zip64")
    case("zip64-marks", plus(Entry("Doc_0/x.xml", b"<x/>", central={"size": 0xFFFFFFFF})), 2, "zip64")
    case("zip64-local-lies", plus(Entry("Doc_0/x.xml", b"<x/>", local={"size": 0xFFFFFFFF, "packed": 0xFFFFFFFF}, local_extra=struct.pack("<HHQQ", 1, 16, 9, 9))), 2, "two-headers-differ")
    case("bad-extra", plus(Entry("Doc_0/x.xml", b"<x/>", extra=b"\x0a\0\xff\0x")), 2, "bad-extra-field")
    case("encrypted", plus(Entry("Doc_0/x.xml", b"<x/>", flags=0x801)), 2, "encrypted")
    case("unknown-method", plus(Entry("Doc_0/x.xml", b"<x/>", method=12)), 2, "unknown-method")
    case("symbolic-link", plus(Entry("Doc_0/x.xml", b"/etc/passwd", mode=0o120777)), 2, "symbolic-link")
    case("folder-with-content", plus(Entry("Doc_0/x/", b"<x/>")), 2, "folder-with-content")
    case("unpacks-to-more", plus(Entry("Doc_0/x.xml", b"x" * 5000, size=4000, packed=deflate(os.urandom(5000)))), 2, "damaged-part")
    case("unpacks-to-less", plus(Entry("Doc_0/x.xml", b"x" * 50, size=60)), 2, "damaged-part")
    case("wrong-sum", plus(Entry("Doc_0/x.xml", b"<x/>", crc=1)), 2, "damaged-part")
    case("bytes-after-stream", plus(Entry("Doc_0/x.xml", b"<x/>", packed=deflate(b"<x/>") + b"hidden")), 2, "damaged-part")
    case("not-deflate", plus(Entry("Doc_0/x.xml", b"<x/>", packed=b"\xff\xff\xff\xff")), 2, "damaged-part")
    case("bomb-ratio", plus(Entry("Doc_0/x.xml", b"\0" * (24 << 20))), 2, "unpacks-too-large")
    case("bomb-one-part", plus(Entry("Doc_0/x.xml", b"", size=33 << 20, packed=b"x" * 300_000)), 2, "unpacks-too-large")
    case("bomb-in-total", plus(*[Entry(f"Doc_0/{n}.xml", b"", size=31 << 20, packed=b"x" * 200_000) for n in range(5)]), 2, "unpacks-too-large")
    case("many-entries", plus(*[Entry(f"Doc_0/{n}", b"", method=0) for n in range(2001)]), 2, "too-many-entries")
    case("not-ofd", {"word/document.xml": b"<x/>"}, 2, "not-ofd")
    case("pdf-renamed", b"%PDF-1.7\n%%EOF", 1, "not-verified")

def xmls():
    def with_ofd(xml): return signed(after=lambda p: p.update({"OFD.xml": xml}))
    laughs = "<!DOCTYPE l [<!ENTITY a 'ha'>" + "".join(f"<!ENTITY {chr(98+n)} '&{chr(97+n)};&{chr(97+n)};'>" for n in range(20)) + "]>"
    case("entities", with_ofd(f"{X}{laughs}<OFD>&t;</OFD>".encode()), 2, "xml-forbidden")
    case("outside-entity", with_ofd(f"{X}<!DOCTYPE o [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><OFD>&e;</OFD>".encode()), 2, "xml-forbidden")
    case("undeclared-entity", with_ofd(ofd_xml(BODY.format("&e;"))), 2, "xml-forbidden")
    case("too-deep", packed(with_ofd(ofd_xml("<a>" * 10_000 + "</a>" * 10_000)), method=0), 2, "xml-too-large")
    case("many-attributes", with_ofd(ofd_xml("<a " + " ".join(f"a{n}='1'" for n in range(100_000)) + "/>")), 2, "xml-too-large")
    case("many-namespaces", with_ofd(ofd_xml("<a " + " ".join(f"xmlns:a{n}='{n}'" for n in range(1_000)) + "/>")), 2, "xml-too-large")
    case("many-elements", packed(with_ofd(ofd_xml("<a/>" * 100_001)), method=0), 2, "xml-too-large")
    case("large-xml", with_ofd(ofd_xml("".join(f"<b>{n * 7919}</b>" for n in range(400_000)))), 2, "xml-too-large")
    case("utf16", with_ofd(ofd_xml().decode().encode("utf-16")), 2, "xml-forbidden")
    case("gbk-declared", with_ofd(ofd_xml().replace(b"UTF-8", b"GBK")), 2, "xml-forbidden")
    case("instruction", with_ofd(ofd_xml(BODY.format(SIGNS) + "<?php x?>")), 2, "xml-forbidden")
    case("unbound-prefix", with_ofd(ofd_xml().replace(b"xmlns:ofd", b"xmlns:odf")), 2, "bad-xml")
    case("attribute-twice", with_ofd(ofd_xml().replace(b'Version="1.0"', b'Version="1.0" Version="1.1"')), 2, "bad-xml")
    case("two-roots-named", with_ofd(ofd_xml(BODY.format("<ofd:DocRoot>Doc_1/Document.xml</ofd:DocRoot>" + SIGNS))), 2, "element-stands-twice")
    case("signed-info-twice", signed(wrap="<ofd:SignedInfo/>"), 2, "element-stands-twice")
    case("references-twice", signed(extra="<ofd:References/>"), 2, "element-stands-twice")
    case("many-signatures", signed(list_xml=listing(*[(str(n), "Seal", "/" + FIRST) for n in range(1, 66)])), 2, "too-many-signatures")

def contents():
    change = lambda name, data: lambda p: p.update({name: data})
    page, root = "Doc_0/Pages/Page_0/Content.xml", "Doc_0/Document.xml"
    case("page-altered", signed(after=change(page, b"<x/>")), 1, "references")
    case("face-altered", signed(after=change("Doc_0/Res/face.png", b"another face")), 1, "references")
    case("part-taken-away", signed(after=lambda p: p.pop("Doc_0/Res/face.png")), 1, "references")
    case("page-taken-away", signed(after=lambda p: p.pop(page)), 1, "parts-missing")
    case("part-added", signed(after=change("Doc_0/Pages/Page_1/Content.xml", b"<x/>")), 3, "Doc_0/Pages/Page_1/Content.xml")
    case("shadow-annotation", signed(cover=lambda n: "Annots" not in n, parts=content({"Doc_0/Annots/Annotations.xml": b"<x/>"})), 3, "Doc_0/Annots/Annotations.xml")
    case("template-not-covered", signed(cover=lambda n: "Tpls" not in n, parts=content({"Doc_0/Tpls/Tpl_0/Content.xml": b"<x/>"})), 3, "Doc_0/Tpls/Tpl_0/Content.xml")
    case("root-not-covered", signed(cover=lambda n: n != root), 3, root)
    other = {"Doc_1/Document.xml": content()[root], "Doc_1/Pages/Page_0/Content.xml": b"<x/>"}
    switched = ofd_xml(BODY.format(SIGNS).replace("Doc_0/Document.xml", "Doc_1/Document.xml"))
    case("root-switched", signed(cover=lambda n: n != "OFD.xml", after=lambda p: p.update({**other, "OFD.xml": switched})), 3, "Doc_1/Document.xml")
    both = ofd_xml(BODY.format(SIGNS) + BODY.format("").replace("Doc_0/Document.xml", "Doc_1/Document.xml"))
    case("second-document", signed(cover=lambda n: n != "OFD.xml", after=lambda p: p.update({**other, "OFD.xml": both})), 1, "several-documents")
    case("root-outside", signed(parts=content({"OFD.xml": ofd_xml(BODY.format(SIGNS).replace("Doc_0/Document.xml", "../../Document.xml"))})), 1, "parts-missing")
    case("unsigned", content({"OFD.xml": ofd_xml(BODY.format(""))}), 1, "unsigned")
    case("signatures-stripped", signed(after=lambda p: [p.pop(n) for n in list(p) if "Signs" in n] and p.update({"OFD.xml": ofd_xml(BODY.format(""))})), 1, "unsigned")
    refs = lambda parts, *more: [("/" + n, sm3(b)) for n, b in parts.items()] + list(more)
    case("reference-to-nothing", signed(xml=lambda c: described(c, refs=refs(c, ("/Doc_0/none.xml", b"\0" * 32)))), 1, "references")
    case("reference-twice", signed(xml=lambda c: described(c, refs=refs(c, ("/" + page, b"\0" * 32)))), 1, "references")
    case("reference-outside", signed(xml=lambda c: described(c, refs=refs(c, ("/../../etc/passwd", b"\0" * 32)))), 1, "references")
    case("reference-to-itself", signed(xml=lambda c: described(c, refs=refs(c, ("/" + FIRST, b"\0" * 32)))), 1, "references")
    case("no-references", signed(xml=lambda c: described(c, refs=[])), 1, "references")
    two = content({"Doc_0/Signs/Sign_0/Doc_0/PublicRes.xml": b"another"})
    case("path-of-two-meanings", signed(two, xml=lambda c: described(c, refs=[(n, sm3(b)) for n, b in c.items()])), 1, "references")
    md5 = lambda c: described(c, method="MD5", refs=[("/" + n, hashlib.md5(b).digest()) for n, b in c.items()])
    sha1 = lambda c: described(c, method="SHA1", refs=[("/" + n, hashlib.sha1(b).digest()) for n, b in c.items()])
    case("digests-md5", signed(xml=md5), 1, "digest-method")
    case("digests-sha1", signed(xml=sha1), 1, "digest-method")
    case("digests-unnamed", signed(method=None), 1, "digest-method")
    case("digest-cut-short", signed(xml=lambda c: described(c, refs=[("/" + n, sm3(b)[:4]) for n, b in c.items()])), 1, "references")
    case("algorithm-named-rsa", signed(algorithm="1.2.840.113549.1.1.11"), 1, "algorithm")
    case("update-over-altered-page", countersigned(change(page, b"<x/>")), 1, "references")
    case("list-commented", signed(list_xml=listing(("1", "Seal", "/" + FIRST), more="<!-- 有效 -->")), 3, "comments")
    case("list-with-gap", signed(list_xml=listing(("2", "Seal", "/" + FIRST), maximum=2)), 3, "numbers that do not agree")
    case("list-names-twice", signed(list_xml=listing(("1", "Seal", "/" + FIRST), ("2", "Seal", "/" + FIRST))), 1, "signature-list")
    case("list-names-nothing", signed(list_xml=listing(("1", "Seal", "/Doc_0/none.xml"))), 1, "format")
    case("list-of-unknown-type", signed(list_xml=listing(("1", "Show", "/" + FIRST))), 1, "format")
    case("value-missing", signed(after=lambda p: p.pop("Doc_0/Signs/Sign_0/SignedValue.dat")), 1, "format")
    case("envelope-called-seal", signed(kind="Seal", value=envelope), 1, "format")

def seals():
    other = seal(name="另一枚印章", picture=b"another picture")
    case("seal-beside-swapped", signed(beside=SEAL, sealed=other), 1, "seal-file")
    case("seal-beside-altered", signed(beside=SEAL, after=lambda p: p.update({"Doc_0/Signs/Sign_0/Seal.esl": other})), 1, "seal-file")
    repainted = SEAL.replace(b"for show", b"official")
    case("seal-repainted", signed(sealed=repainted), 1, "seal-signature")
    case("seal-expired", signed(sealed=seal(until="20250101000000")), 1, "seal-dates")
    case("seal-not-yet", signed(sealed=seal(since="20270101000000")), 1, "seal-dates")
    case("seal-made-later", signed(sealed=seal(created="20260601000000")), 1, "seal-created", profile="strict-2025")
    case("seal-of-others", signed(sealed=seal(signers=[MAKER])), 1, "signer-in-list")
    case("seal-of-others-by-digest", signed(sealed=seal(signers=[MAKER], digests=True)), 1, "signer-in-list")
    case("seal-self-made", signed(sealed=seal(maker=EVIL)), 1, "maker-certificate")
    old = Party("过期制章", ROOT, until="20240101000000")
    case("maker-ended", signed(sealed=seal(maker=old)), 1, "maker-dates-at-signing")
    case("maker-ended-strict", signed(sealed=seal(maker=old)), 1, "maker-revocation", profile="strict-2025")
    case("maker-ended-lenient", signed(sealed=seal(maker=old)), 0, profile="lenient-history")
    young = Party("未生效制章", ROOT, since="20240101000000")
    case("maker-began-later-strict", signed(sealed=seal(maker=young)), 1, "maker-dates-at-creation", profile="strict-2025")
    case("maker-began-later", signed(sealed=seal(maker=young)), 0)
    case("versions-differ", signed(version=5), 1, "version")
    case("replayed", signed(value=lambda x: seal_signature(described(content({"x": b"y"})), FIRST)), 1, "data-hash")
    case("hash-of-nothing", signed(digest=b"\0" * 32), 1, "data-hash")
    case("protects-other-path", signed(property="/Doc_1/Signs/Sign_0/Signature.xml"), 1, "property")
    case("in-the-future", signed(at="20991231000000"), 1, "signed-at")
    case("critical-extension", signed(extensions=seq(seq(oid("1.2.3.4"), TRUE, octets(b"x")))), 1, "extensions", profile="strict-2025")
    case("stamp-over-other", signed(sealed=seal(version=5), version=5, stamp=dict(over=b"other")), 1, "time-stamp")
    case("stamp-not-for-stamps", signed(sealed=seal(version=5), version=5, stamp=dict(authority=SIGNER)), 1, "time-stamp")
    case("stamp-self-made", signed(sealed=seal(version=5), version=5, stamp=dict(authority=EVIL)), 1, "time-stamp")
    case("stamp-unanchored", signed(sealed=seal(version=5), version=5, stamp={}), 3, "time stamp", anchors="no-stamps")

def signers():
    by = lambda party: signed(signer=party, sealed=seal(signers=[party]))
    case("signer-ended", by(Party("a", ROOT, until="20250101000000")), 1, "signer-dates")
    case("signer-not-yet", by(Party("b", ROOT, since="20260601000000")), 1, "signer-dates")
    case("signer-self-made", by(Party("c", EVIL)), 1, "signer-certificate")
    case("signer-same-name-other-root", by(Party("11010100000001", Party("演示根", ca=True, until="20390101000000", organisation="91110000600037341L演示机关 "))), 1, "signer-certificate")
    case("signer-issued-by-signer", by(Party("d", SIGNER)), 1, "signer-certificate")
    case("signer-through-no-ca", by(Party("e", NOT_CA)), 1, "signer-certificate", anchors="intermediates")
    case("signer-path-too-long", by(Party("f", Party("g", SHORT, ca=True))), 1, "signer-certificate", anchors="intermediates")
    case("signer-through-ca", by(Party("h", SHORT)), 0, anchors="intermediates")
    case("signer-for-encryption", by(Party("i", ROOT, usage=0x20)), 1, "signer-certificate")
    case("signer-critical-unknown", by(Party("j", ROOT, more=seq(oid("1.2.3.4"), TRUE, octets(NULL)))), 1, "signer-certificate")
    case("signer-usage-twice", by(Party("k", ROOT, more=seq(oid("2.5.29.15"), TRUE, octets(tlv(3, b"\6\xc0"))))), 1, "signer-certificate")
    case("signer-revoked", signed(), 1, "signer-revocation", anchors="revoked-before")
    case("signer-revoked-by-another", signed(), 0, anchors="revoked-by-another")
    case("nobody-anchored", signed(), 0, anchors=None)
    case("issuer-differs", signed(), 1, "issuing-authority", issuer="91110000MA0000000X")
    case("issuer-matches", signed(), 0, issuer="91110000600037341L")

def numbers():
    r, s = SIGNER.key.numbers(b"x")
    raw = lambda *n: b"".join(map(num, n))
    for name, value in [("r-zero", raw(0, s)), ("s-zero", raw(r, 0)), ("r-is-n", raw(N, s)), ("s-above-n", raw(r, N + 1)), ("r-plus-s-is-n", raw(r, N - r)),
                        ("der-r-zero", seq(integer(0), integer(s))), ("nothing", b""), ("all-ones", b"\xff" * 64)]:
        case("numbers-" + name, signed(value=lambda x: seal_signature(x, FIRST, value=value)), 1, "signature")
    tail = lambda m: SIGNER.key.sign(m) + b"\0"
    case("numbers-trailing", signed(sign=tail), 1, "signature")
    def padded(m):
        r, s = SIGNER.key.numbers(m)
        return seq(tlv(2, b"\0\0" + num(r)), integer(s))
    case("numbers-padded", signed(sign=padded), 1, "signature")
    case("numbers-long-length", signed(sign=lambda m: (d := SIGNER.key.sign(m)) and b"\x30\x81" + d[1:]), 1, "signature")
    case("numbers-other-identity", signed(sign=lambda m: SIGNER.key.sign(m, user=b"0000000000000000")), 1, "signature")
    off = bytearray(SIGNER.key.point); off[-1] ^= 1
    for name, point in [("off-curve", bytes(off)), ("infinity", b"\0"), ("hybrid", b"\6" + SIGNER.key.point[1:]), ("zero", b"\4" + b"\0" * 64)]:
        party = Party("point " + name, ROOT, point=point)
        case("key-" + name, signed(signer=party, sealed=seal(signers=[party])), 1, "signature")
    case("algorithm-inside-rsa", signed(value=lambda x: seal_signature(x, FIRST, algorithm=oid("1.2.840.113549.1.1.11"))), 1, "algorithm")
    whole = lambda x: seal_signature(x, FIRST)
    case("value-trailing", signed(value=lambda x: whole(x) + b"\0"), 1, "format")
    case("value-indefinite", signed(value=lambda x: b"\x30\x80" + whole(x)[4:] + b"\0\0"), 1, "format")
    case("value-cut", signed(value=lambda x: whole(x)[:-1]), 1, "format")
    case("value-deep", packed(signed(value=lambda x: b"\x30\x80" * 50_000), method=0), 1, "format")
    case("value-empty", signed(value=lambda x: b""), 1, "format")
    plain = lambda **how: signed(kind="Sign", value=lambda x: envelope(x, **how))
    case("envelope-of-other", plain(digest=b"\1" * 32), 1, "data-hash")
    case("envelope-other-content", plain(attributes=False, content=b"\1" * 32), 1, "data-hash")
    case("envelope-no-certificate", plain(certs=[]), 1, "format")
    case("envelope-two-signers", plain(signers=2), 1, "format")
    case("envelope-digest-twice", plain(twice=True), 1, "format")
    case("envelope-self-made", plain(signer=EVIL), 1, "signer-certificate")
    case("envelope-unanchored", plain(), 3, "no configured anchor", anchors=None)
    case("envelope-loose-parts", plain(more=tlv(0xA1, seq())), 3, "does not cover")
    case("bare-unknown", signed(kind="Sign", value=lambda x: SIGNER.key.sign(x)), 1, "signature")
    case("bare-known", signed(kind="Sign", value=lambda x: SIGNER.key.sign(x)), 0, anchors="pinned")
    case("bare-other-paper", signed(kind="Sign", value=lambda x: SIGNER.key.sign(x + b" ")), 1, "signature", anchors="pinned")

def main():
    global OUT, NOT_CA, SHORT, HOME
    OUT = sys.argv[1]
    url = f"http://127.0.0.1:{sys.argv[2]}/" if len(sys.argv) > 2 else "http://127.0.0.1:9/"
    NOT_CA, SHORT = Party("非CA", ROOT), Party("短链", ROOT, ca=True, length=0)
    HOME = Party("回连", ROOT, url=url)
    deep = Party("g", SHORT, ca=True)
    def write(name, files):
        folder = os.path.join(OUT, "anchors", name)
        os.makedirs(folder, exist_ok=True)
        for file, text in files.items():
            with open(os.path.join(folder, file), "w") as f: f.write(text)
    basic = {"signer.pem": pem(ROOT), "seal-maker.pem": pem(ROOT)}
    stamps = {"time-stamp.pem": pem(ROOT)}
    listed = lambda *a, **k: {"revocation.crl": pem(crl(*a, **k), label="X509 CRL")}
    write("all", {**basic, **stamps})
    write("no-stamps", basic)
    write("intermediates", {**basic, "intermediate.pem": pem(NOT_CA, SHORT, deep)})
    write("revoked-before", {**basic, **listed(ROOT, [(SIGNER, "20250601000000")])})
    write("revoked-later", {**basic, **listed(ROOT, [(SIGNER, "20260601000000")])})
    write("revoked-by-another", {**basic, **listed(ROOT, [(SIGNER, "20250601000000")], key=EVIL.key)})
    write("pinned", {**basic, "signer.pem": pem(SIGNER)})
    for group in [controls, containers, xmls, contents, seals, signers, numbers]:
        group()
    with open(os.path.join(OUT, "cases.json"), "w") as f:
        json.dump(CASES, f, ensure_ascii=False, indent=1)

main()
