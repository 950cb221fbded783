#!/usr/bin/env python3
"""Who may ask what: a second reading of the grant rules, written from the design and the contract's comments, not from the hub.

    authorisation.py WORLD < DECISIONS

WORLD holds, one JSON object a line, the systems, resources, grants and records as they were put and acknowledged. DECISIONS holds
questions with what the hub decided. Every difference is one JSON object on standard output; the last line counts. Exit code 1 where
they differ. Needs nothing but Python itself, and shares no code, no schema and no generated message with the hub."""
import calendar
import datetime
import json
import sys

MODES = ["YES_NO", "MASKED", "FULL"]
# What may not be read off an answer that is granted masked: names, numbers, birth dates, addresses, telephones of persons.
SECRET = {"name", "holder_code", "birth_date", "address", "phone", "number", "holder_name", "premises"}
# A question about a fact is a question to one library.
FACTS = {
    "AGE_AT_LEAST": "POPULATION",
    "LICENCE_VALID_ON": "LICENCE",
    "NOT_LISTED_ON": "CREDIT",
    "REGISTERED_IN": "POPULATION",
    "REPRESENTS": "LEGAL_ENTITY",
}
SHANGHAI = datetime.timezone(datetime.timedelta(hours=8))


class World:
    def __init__(self, path):
        self.systems, self.resources, self.records = {}, {}, []
        self.grants, self.used = {}, {}
        for line in open(path, encoding="utf-8"):
            thing = json.loads(line)
            kind = thing.pop("line")
            if kind == "system":
                self.systems[thing["uri"]] = thing
            elif kind == "resource":
                self.resources[thing["code"]] = thing
            elif kind == "grant":
                self.grants.setdefault(thing["system"], []).append(thing)
            elif kind == "record":
                self.records.append(thing)
            else:
                raise ValueError(kind)

    def by_key(self, library, key):
        return next((r for r in self.records if r["library"] == library and r["key"] == key), None)


def day(text):
    return datetime.date.fromisoformat(text)


def twelve_months_on(first):
    """The last day of a term that begins on `first`: the day before its anniversary."""
    year = first.year + 1
    last = calendar.monthrange(year, first.month)[1]
    # 29 February has its anniversary on 1 March.
    same = datetime.date(year, first.month, first.day) if first.day <= last else datetime.date(year, 3, 1)
    return same - datetime.timedelta(days=1)


def in_force(grant, now):
    """Given, not taken back; within its term, both ends whole; within its hours, both ends whole, perhaps over midnight."""
    if grant["state"] != "GRANTED":
        return False
    first = day(grant["term_from"] or grant["decided_on"])
    last = day(grant["term_until"]) if grant["term_until"] else twelve_months_on(first)
    if not first <= now.date() <= last:
        return False
    first, last = grant["hours"]
    if first == last == 0:
        return True
    hours, hour = set(), first
    while hour != last:
        hours.add(hour)
        hour = (hour + 1) % 24
    return now.hour in hours | {last}


def purpose_fits(grant, question):
    for allowed in grant["purposes"]:
        if allowed["kind"] == question["purpose"] and (not allowed["items"] or question["item"] in allowed["items"]):
            return True
    return False


def asks_of(question, resource):
    """Whether the resource is one the question is put to: deny by default."""
    if question["kind"] == "HOLDER":
        libraries = question["libraries"] or ["LICENCE"]
        if resource["library"] not in libraries:
            return False
        types = question["licence_types"]
        return resource["library"] != "LICENCE" or not types or resource["licence_type"] in types
    if question["kind"] == "DERIVE":
        library = FACTS[question["fact"]]
        if question["fact"] == "REGISTERED_IN" and question["entity"]:
            library = "LEGAL_ENTITY"
    elif question["kind"] == "AREA":
        library = "GEOSPATIAL"
    else:
        library = question["library"]
    return resource["library"] == library and (library != "LICENCE" or resource["licence_type"] == question["licence_type"])


def covers(world, grant, question, now):
    resource = world.resources[grant["resource"]]
    if not resource["shared"] or not asks_of(question, resource) or not in_force(grant, now):
        return False
    if question["kind"] not in grant["kinds"] or not purpose_fits(grant, question):
        return False
    if question["kind"] == "DERIVE" and question["fact"] not in grant["facts"]:
        return False
    # By holder each record gives what its own grant covers; elsewhere what is not covered is not asked.
    if question["kind"] in ("LOOK_UP", "AREA") and set(question["fields"]) - set(grant["fields"]):
        return False
    if question["kind"] != "LOOK_UP":
        return True
    most = MODES.index(grant["mode"])
    if question["complete"] and (grant["mode"] != "FULL" or "complete_licence" not in grant["fields"]):
        return False
    if question["mode"] and MODES.index(question["mode"]) > most:
        return False
    return bool(most) or not question["fields"]  # yes or no opens no field


def opens(world, grant, record):
    """A view opens the records of what it is a view of."""
    return record["resource"] in (grant["resource"], world.resources[grant["resource"]]["view_of"])


def best(grants):
    """Those that open most: any of them may answer."""
    most = max((MODES.index(g["mode"]) for g in grants), default=None)
    return [g for g in grants if MODES.index(g["mode"]) == most]


def expected(world, question, now):
    """("REFUSED", reason), ("QUOTA_EXCEEDED", None) or ("PERMITTED", the grants that may have been used)."""
    system = world.systems.get(question["system"])
    if system is None or not system["enabled"] or not system["certificate_fits"]:
        return "REFUSED", "SYSTEM_DISABLED"
    if not {"CONSUMER", "CLERK"} & set(system["roles"]):
        return "REFUSED", "ROLE_NOT_ALLOWED"
    fitting = [g for g in world.grants.get(question["system"], []) if covers(world, g, question, now)]
    if not fitting:
        return "REFUSED", "PURPOSE_NOT_GRANTED"
    left = [g for g in fitting if not g["quota"] or world.used.get((g["id"], now.date()), 0) < g["quota"]]
    return ("PERMITTED", left) if left else ("QUOTA_EXCEEDED", None)


def differences(world, question):
    """Everything in which the hub's decision is not ours."""
    decided = question["decision"]
    now = datetime.datetime.fromtimestamp(question["at_ms"] / 1000, SHANGHAI)
    result, detail = expected(world, question, now)
    if decided["result"] != result:
        return [f"expected {result} {detail if result == 'REFUSED' else ''}, decided {decided['result']} {decided.get('reason', '')}"]
    if result == "REFUSED":
        return [] if decided["reason"] == detail else [f"expected {detail}, decided {decided['reason']}"]
    if result == "QUOTA_EXCEEDED":
        return []
    found = []
    for item in decided["items"]:
        grant = next((g for g in detail if g["id"] == item["grant"]), None)
        if grant is None:
            return [f"answered under {item['grant']}, which does not cover the question"]
        world.used[(grant["id"], now.date())] = world.used.get((grant["id"], now.date()), 0) + 1
    if question["kind"] == "LOOK_UP":
        found = looked_up(world, question, detail, decided["items"])
    elif question["kind"] == "HOLDER":
        found = of_holder(world, question, detail, decided["items"])
    else:
        for item in decided["items"]:
            if item["fields"] or item["complete"]:
                found.append(f"a {question['kind']} question gave fields")
    return found


def looked_up(world, question, grants, items):
    if len(items) != 1:
        return [f"{len(items)} answers to one question"]
    record = world.by_key(question["library"], question["key"])
    usable = best([g for g in grants if opens(world, g, record)]) if record else []
    if not usable:
        return ["a record that no grant opens was found"] if items[0]["outcome"] == "FOUND" else []
    mode = usable[0]["mode"]
    if question["mode"]:
        mode = min(mode, question["mode"], key=MODES.index)
    wanted = question["fields"]
    return given(record, usable, mode, wanted, question["complete"], items[0])


def of_holder(world, question, grants, items):
    due = {}
    for record in world.records:
        if record["holder"] != question["key"] or record["library"] not in (question["libraries"] or ["LICENCE"]):
            continue
        usable = best([g for g in grants if opens(world, g, record)])
        if usable:
            due[record["key"]] = (record, usable)
    found = [item for item in items if item["outcome"] == "FOUND"]
    if sorted(due) != sorted(item["key"] for item in found):
        return [f"expected the records {sorted(due)}, got {sorted(item['key'] for item in found)}"]
    differ = []
    for item in found:
        record, usable = due[item["key"]]
        used = next((g for g in usable if g["id"] == item["grant"]), None)
        if used is None:
            differ.append(f"{item['key']} was given under {item['grant']}")
            continue
        wanted = [f for f in question["fields"] if f in used["fields"]]
        differ += given(record, usable, used["mode"], wanted, False, item)
    return differ


def given(record, usable, mode, wanted, complete, item):
    """Whether a record was cut to just what is due."""
    if item["outcome"] != "FOUND":
        return [f"expected the record, got {item['outcome']}"]
    differ = []
    if item["grant"] not in [g["id"] for g in usable]:
        differ.append(f"given under {item['grant']}, where another opens more")
    due = {} if mode == "YES_NO" else {f: record["fields"][f] for f in wanted if f in record["fields"]}
    got = {name: (value, masked) for name, value, masked in item["fields"]}
    if set(got) != set(due):
        differ.append(f"expected the fields {sorted(due)}, got {sorted(got)}")
    for name, value in due.items():
        if name not in got:
            continue
        shown, masked = got[name]
        hidden = mode == "MASKED" and name in SECRET
        if masked != hidden or (shown == value) == hidden:
            differ.append(f"{name}: {mode} gave {'masked' if masked else 'open'} {'the value' if shown == value else 'another'}")
    complete = complete and mode == "FULL"  # who asks for less than everything does not ask for the whole
    if item["complete"] != complete:
        differ.append("the complete licence was " + ("given" if item["complete"] else "withheld"))
    return differ


def main():
    world, asked, differ = World(sys.argv[1]), 0, 0
    seen = {}
    for line in sys.stdin:
        question = json.loads(line)
        asked += 1
        decision = question["decision"]["result"]
        key = f"{question['kind']} {decision} {question['decision'].get('reason', '')}".strip()
        seen[key] = seen.get(key, 0) + 1
        wrong = differences(world, question)
        if wrong:
            differ += 1
            print(json.dumps({"question": question, "differences": wrong}, ensure_ascii=False))
    print(json.dumps({"asked": asked, "differ": differ, "seen": seen}))
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
