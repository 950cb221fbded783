#!/usr/bin/env python3
"""Checks Wuku evidence with none of the project's code, from its written formats only. Exit 0 good, 1 not.
    verify_receipt.py vectors tests/vectors/receipt.json (or receipt-sm2.json)
    verify_receipt.py evidence FILE TRUST_NOTE ROOT_VKEY [NONCE_HEX [MAX_AGE_S]]
Packages: cryptography, gmalg (for SM2), protobuf. Message classes are generated from proto/ by grpcio-tools or, without it, protoc."""
import base64, hashlib, importlib.util, json, re, subprocess, sys, tempfile, time
from pathlib import Path
import gmalg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

def need(holds, rule):
    if not holds:
        raise ValueError(rule)
def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()
def sm3(*parts):
    hasher = gmalg.SM3()
    hasher.update(b"".join(parts))
    return hasher.value()
def by_ed25519(public, signature, text):  # raises when it is not good
    Ed25519PublicKey.from_public_bytes(public).verify(signature, text)
def by_sm2(public, signature, text):
    need(public[:1] == b"\4" and len(public) == 65 and len(signature) == 64, "SM2 key and signature in their one form")
    signer = gmalg.SM2(pk=public, uid=b"1234567812345678")
    need(signer.verify(text, signature[:32], signature[32:]), "SM2 signature")
# Suite: its hash, the type of its keys in notes, its signature. Key ids are SHA-256 in every suite.
SUITES = {"ed25519": (sha256, b"\1", by_ed25519), "sm2": (sm3, b"\xffwuku/sm2-sm3/v1", by_sm2)}
def unbase64(text):
    need(base64.b64encode(base64.b64decode(text, validate=True)).decode() == text, "base64 in its one form")
    return base64.b64decode(text)
def number(text):
    need(re.fullmatch("0|[1-9][0-9]{0,19}", text) and int(text) < 1 << 64, "number in its one form")
    return int(text)
proto, out = Path(__file__).resolve().parents[2] / "proto", tempfile.TemporaryDirectory()
tool = [sys.executable, "-m", "grpc_tools.protoc"] if importlib.util.find_spec("grpc_tools") else ["protoc"]
files = [f"wuku/{package}/v1/{package}.proto" for package in ("library", "receipt", "document", "exchange")]
subprocess.run([*tool, f"-I{proto}", f"--python_out={out.name}", *files], check=True)
sys.path.insert(0, out.name)
from wuku.exchange.v1 import exchange_pb2 as exchange
from wuku.receipt.v1 import receipt_pb2 as receipt
def canonical(kind, raw):
    message = kind.FromString(raw)
    message.DiscardUnknownFields()  # at every depth
    need(message.SerializeToString(deterministic=True) == raw, f"{kind.__name__} in canonical form")
    return message
def open_note(note):  # C2SP signed note, here always with one line; gives text, key name, key id, check of the signature
    match = re.fullmatch(r"((?:[^\0-\x1f]+\n)+)\n— (\S+) (\S+)\n", note)
    need(match, "note with exactly one signature line")
    text, name, line = match[1], match[2], unbase64(match[3])
    def signed_by(vkey):
        (key_name, key_id, _), raw = vkey.split("+", 2), unbase64(vkey.split("+", 2)[2])
        need(sha256(key_name.encode(), b"\n", raw)[:4].hex() == key_id, "key id fits its key")
        suite = next((suite for suite, (_, kind, _) in SUITES.items() if raw.startswith(kind)), None)
        need(suite, "key of a known suite")
        _, kind, good = SUITES[suite]
        mine = (key_name, key_id) == (name, line[:4].hex())
        return mine and good(raw[len(kind):], line[4:], text.encode()) is None and suite
    return text, name, signed_by
def open_trust(note, root_vkey):
    text, name, signed_by = open_note(note)
    need(signed_by(root_vkey) and name == json.loads(text)["hub"] + "/root", "trust file signed by the hub's root")
    return json.loads(text)

def root_of(H, leaf, index, size, path):  # RFC 9162, 2.1.3.2
    need(index < size, "index inside the tree")
    fn, sn, root = index, size - 1, leaf
    for sibling in path:
        need(sn > 0, "path no longer than prescribed")
        right = fn & 1 or fn == sn
        root = H(b"\1", sibling, root) if right else H(b"\1", root, sibling)
        while right and fn and not fn & 1:
            fn, sn = fn >> 1, sn >> 1
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0, "path no shorter than prescribed")
    return root
def check_log(proof, trust):
    text, name, signed_by = open_note(proof["checkpoint"].decode())
    match = re.fullmatch(r"(([a-z0-9.-]{1,63})/wuku/[1-9][0-9]*)\n(.+)\n(.+)\n", text)
    need(match and match[1] == name and match[2] == trust["hub"], "checkpoint in its one form, of the trusted hub")
    size, root, last = number(match[3]), unbase64(match[4]), str((1 << 64) - 1)
    log = next((log for log in trust["logs"] if log["origin"] == name), {"keys": []})
    key = next((key for key in log["keys"] if signed_by(key["vkey"]) == log["suite"]), None)
    need(key and key["state"] in ("active", "retired"), "key in the trust file and not compromised")
    need(number(key.get("fromSize", "0")) <= size <= number(key.get("toSize", last)), "size inside the key's")
    need(len(proof["salt"]) == 32 and len(proof["path"]) % 32 == 0, "lengths")
    H = SUITES[log["suite"]][0]
    entry = b"\1" + proof["timeS"].to_bytes(8, "big") + H(b"wuku/statement/v1\0", proof["salt"], proof["statement"])
    path = [proof["path"][at:at + 32] for at in range(0, len(proof["path"]), 32)]
    need(root_of(H, H(b"\0", entry), proof["leafIndex"], size, path) == root, "path leads to the signed root")
    need(proof["timeS"] <= number(log.get("closedAt", last)), "log was open")
    return H

def check(text, trust, now_s, nonce=None, max_age_s=None):
    file, order = json.loads(text), ("statement", "salt", "timeS", "leafIndex", "path", "checkpoint")
    again = {key: file[key] for key in ("payloadName", "payload")}
    again["receipt"] = part = {key: file["receipt"][key] for key in order if file["receipt"].get(key)}
    need(json.dumps(again, ensure_ascii=False, separators=(",", ":")) + "\n" == text, "canonical JSON")
    proof = {key: number(part.get(key, "0")) if key in order[2:4] else unbase64(part.get(key, "")) for key in order}
    H = check_log(proof, trust)
    name, raw, stated = file["payloadName"], unbase64(file["payload"]), canonical(receipt.Statement, proof["statement"])
    known = stated.format == 1 and stated.kind in receipt.Kind.values()[1:] and stated.outcome in receipt.Outcome.values()[1:]
    need(known and stated.hub == trust["hub"] and len(stated.subject_ref) in (0, 16), "statement is known, the hub's")
    need(stated.decided_ms < (proof["timeS"] + 1) * 1000 and stated.position <= proof["leafIndex"], "decided before")
    need(name == stated.payload_name == "wuku.exchange.v1.Payload", "payload name")
    need(stated.payload_digest == H(b"wuku/payload/v1\0", name.encode(), b"\0", raw), "payload digest")
    payload = canonical(exchange.Payload, raw)
    need(payload.format == 1 and len(payload.blind) == 16 and payload.outcome == stated.outcome, "payload as stated")
    need((payload.WhichOneof("answer") == "refusal") == (stated.outcome == receipt.OUTCOME_REFUSED), "refusal is one")
    kind = {1: "LookUp", 2: "LookUp", 3: "Match", 4: "Derive", 5: "Holder", 6: "Area", 17: "Access"}.get(stated.kind, "Change")
    question = canonical(getattr(receipt if kind == "Access" else exchange, kind + "Question"), payload.question)
    echo = question if kind in ("Access", "Change") else question.context
    need(kind == "Change" or 16 <= len(echo.nonce) <= 64, "nonce of 16 to 64 bytes")
    for field in ("purpose", "operator"):
        need(echo.HasField(field) == stated.HasField(field) and getattr(echo, field) == getattr(stated, field), field + " echoed")
    past = kind not in ("Access", "Change") and echo.HasField("as_of")
    need(payload.valid_at_ms and (past or abs(payload.valid_at_ms - stated.decided_ms) <= 60_000), "judged when decided")
    need(nonce is None or nonce == (echo.request_id.encode() if kind == "Change" else echo.nonce), "nonce is mine")
    need(proof["timeS"] <= now_s + 300 and (max_age_s is None or now_s - proof["timeS"] <= max_age_s), "times in bounds")
def verdict(*args):
    try:
        return check(*args) or "good"
    except Exception as error:  # whatever a stranger's bytes provoke, they are not good
        return f"bad: {type(error).__name__}: {error}"

def main(command, *args):
    if command == "evidence":
        trust = open_trust(Path(args[1]).read_bytes().decode(), args[2])
        more = [*map(bytes.fromhex, args[3:4]), *map(int, args[4:5])]
        found = verdict(Path(args[0]).read_bytes().decode(), trust, int(time.time()), *more)
        return print(found) or int(found != "good")
    vectors, right = json.loads(Path(args[0]).read_bytes()), []
    for case in vectors["cases"]:
        trust, nonce = open_trust(case["trustNote"], vectors["keys"]["rootVkey"]), case["nonce"]
        found = verdict(case["evidence"], trust, case["nowS"], nonce and bytes.fromhex(nonce), case["maxAgeS"])
        right.append((found == "good") == case["good"])
        print("ok  " if right[-1] else "FAIL", case["name"], "-", found)
    return int(not (right and all(right)))
sys.exit(main(*sys.argv[1:]) if sys.argv[1:2] in (["vectors"], ["evidence"]) else __doc__)
