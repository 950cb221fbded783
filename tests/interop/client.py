#!/usr/bin/env python3
"""A gRPC client that shares no code with the project: asks a hub for one licence over mutual TLS, saves the answer as evidence.
    client.py ADDRESS CA CERT KEY LICENCE_ID ITEM EVIDENCE_OUT
Prints the nonce it sent, in hex. Packages: grpcio, grpcio-tools, protobuf. The stubs are generated from proto/."""
import base64, json, secrets, subprocess, sys, tempfile
from pathlib import Path
import grpc

proto, out = Path(__file__).resolve().parents[2] / "proto", tempfile.TemporaryDirectory()
files = [f"wuku/{package}/v1/{package}.proto" for package in ("library", "receipt", "document", "exchange")]
flags = [f"-I{proto}", f"--python_out={out.name}", f"--grpc_python_out={out.name}"]
subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *flags, *files], check=True)
sys.path.insert(0, out.name)
from wuku.exchange.v1 import exchange_pb2 as exchange, exchange_pb2_grpc as services
from wuku.library.v1 import library_pb2 as library
from wuku.receipt.v1 import receipt_pb2 as receipt

address, ca, cert, key, licence_id, item, evidence_out = sys.argv[1:]
nonce = secrets.token_bytes(16)
purpose = receipt.Purpose(kind=receipt.PURPOSE_KIND_HANDLING, item=item, reference="PY-1", use_cause="interop")
question = exchange.LookUpQuestion(
    context=exchange.Context(nonce=nonce, purpose=purpose, operator=receipt.Operator(id="py", window="1")),
    key=library.RecordKey(licence_id=licence_id),
    fields=["holder_name"],
)
credentials = grpc.ssl_channel_credentials(*(Path(path).read_bytes() for path in (ca, key, cert)))
with grpc.secure_channel(address.replace("127.0.0.1", "localhost"), credentials) as channel:
    request = exchange.LookUpRequest(question=question.SerializeToString(deterministic=True))
    answer = services.ExchangeServiceStub(channel).LookUp(request, timeout=10)
payload = exchange.Payload.FromString(answer.payload)
assert payload.outcome == receipt.OUTCOME_FOUND and payload.record.licence.state == library.LICENCE_STATE_VALID, payload
assert [field.value for field in payload.record.fields], "the field asked for is there"

# Evidence as canonical JSON: keys in field order, no defaults, 64-bit numbers as strings, one final line feed.
def text(raw):
    return base64.b64encode(raw).decode()
part = {
    "statement": text(answer.receipt.statement), "salt": text(answer.receipt.salt), "timeS": str(answer.receipt.time_s),
    "leafIndex": str(answer.receipt.leaf_index), "path": text(answer.receipt.path), "checkpoint": text(answer.receipt.checkpoint),
}
file = {"payloadName": "wuku.exchange.v1.Payload", "payload": text(answer.payload), "receipt": part}
Path(evidence_out).write_text(json.dumps(file, ensure_ascii=False, separators=(",", ":")) + "\n")
print(nonce.hex())
