"""What [transform] makes of names and values, on the path of the copy and on that of the log."""

import hashlib
import hmac
import json

import reporting
from stage import expect, hazard

KEY = "the long key of acme"

SCHEMA = """
CREATE TABLE customer (id INT PRIMARY KEY, email VARCHAR(60) NOT NULL, phone VARCHAR(20), fax VARCHAR(20), zip INT UNSIGNED, score DECIMAL(8,2), code VARCHAR(20),
                       surname VARCHAR(40), seen DATETIME(3), pin SMALLINT, KEY by_fax (fax), KEY by_email (email));
CREATE TABLE purchase (id INT PRIMARY KEY, customer_id INT, note TEXT, FOREIGN KEY (customer_id) REFERENCES customer (id) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE heap (a INT, b VARCHAR(20), c INT);
INSERT INTO customer WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 400)
  SELECT i, CONCAT('person', i, '@secret.example'), IF(i % 7 = 0, NULL, CONCAT('+49 ', i)), CONCAT('fax ', i), 4000000000 + i, i / 4, CONCAT('00', i), CONCAT('Name ', i),
         '2020-02-29 01:02:03.120', i % 100 FROM s;
INSERT INTO purchase SELECT id, id, CONCAT('note of ', id) FROM customer;
CREATE TABLE word (word VARCHAR(30) COLLATE {{nopad_bin}} PRIMARY KEY, note VARCHAR(40));
INSERT INTO word WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 900) SELECT CONCAT(IF(i % 2, 'Term ', 'term '), i), CONCAT('secret ', i) FROM s;
INSERT INTO heap SELECT id % 5, CONCAT('secret ', id % 3), id FROM customer WHERE id < 40;
"""

TRANSFORMS = {
    "transform__tables__customer": "client",
    "transform__columns__customer__id": {"name": "no"},
    "transform__columns__customer__email": {"hash": True},
    "transform__columns__customer__phone": {"name": "tel", "mask": "***"},
    "transform__columns__customer__fax": {"exclude": True},
    "transform__columns__customer__zip": {"cast": "text"},
    "transform__columns__customer__score": {"cast": "numeric(20,4)"},
    "transform__columns__customer__code": {"cast": "bigint"},
    "transform__columns__customer__surname": {"name": "last_name"},
    "transform__columns__customer__seen": {"cast": "text"},
    "transform__columns__customer__pin": {"mask": "-1"},
    "transform__columns__purchase__customer_id": {"name": "client_no"},
    "transform__columns__word__word": {"name": "term"},
    "transform__columns__word__note": {"hash": True},
    "transform__columns__heap__b": {"hash": True},
    "transform__columns__heap__c": {"exclude": True},
    "transform__hash_key_env": "CROSSFADE_TEST_HASH_KEY",
}

CHANGES = """
UPDATE customer SET email = CONCAT('new', id, '@secret.example'), phone = IF(id % 2 = 0, NULL, '+1 555'), fax = 'other' WHERE id % 3 = 0;
UPDATE customer SET fax = 'only this' WHERE id % 5 = 1;
UPDATE customer SET zip = id, score = -score, code = CONCAT('-', id), surname = UPPER(surname), seen = seen + INTERVAL 1 SECOND, pin = pin + 1 WHERE id % 4 = 0;
UPDATE customer SET id = id + 10000 WHERE id % 50 = 0;
DELETE FROM customer WHERE id % 60 = 7;
INSERT INTO customer VALUES (20000, 'last@secret.example', '1', '2', 3, 4.5, '6', 'Seven', '2021-01-01 00:00:00', 8), (20001, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO purchase VALUES (20000, 20000, 'late');
UPDATE heap SET c = c + 1;
UPDATE heap SET b = 'secret new' WHERE a = 1;
DELETE FROM heap WHERE a = 2 LIMIT 3;
INSERT INTO heap VALUES (9, NULL, 1), (9, NULL, 2);
UPDATE word SET note = 'secret' WHERE word LIKE '%7';
"""


def hashed(text):
    return None if text is None else hmac.new(KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


def transforming(scene, tenant="acme", **settings):
    move = scene.migration(tenant=tenant, **dict(TRANSFORMS, **settings))
    move.environment["CROSSFADE_TEST_HASH_KEY"] = KEY
    return move


def expected(scene):
    """What the target must hold, computed here, from the source's rows."""
    cursor = scene.source.connect(scene.database, autocommit=True).cursor()
    cursor.execute("SELECT id, email, phone, zip, score, code, surname, DATE_FORMAT(seen, '%Y-%m-%d %H:%i:%s.%f'), pin FROM customer")
    client = [(row[0], hashed(row[1]), None if row[2] is None else "***", None if row[3] is None else str(row[3]), None if row[4] is None else "%.4f" % row[4],
               None if row[5] is None else int(row[5]), row[6], None if row[7] is None else row[7][:-3], None if row[8] is None else -1) for row in cursor.fetchall()]
    cursor.execute("SELECT id, customer_id, note FROM purchase")
    purchase = list(cursor.fetchall())
    cursor.execute("SELECT a, b FROM heap")
    heap = [(a, hashed(b)) for a, b in cursor.fetchall()]
    cursor.execute("SELECT word, note FROM word")
    word = [(term, hashed(note)) for term, note in cursor.fetchall()]
    return {"client": client, "purchase": purchase, "heap": heap, "word": word}


COLUMNS = {"client": "no, email, tel, zip, score::text, code, last_name, seen, pin", "purchase": "id, client_no, note", "heap": "a, b", "word": "term, note"}


def stored(scene, tenant):
    out = {}
    for table, columns in COLUMNS.items():
        text = scene.on_target("SELECT json_build_array(%s) FROM %s WHERE tenant_id = '%s'" % (columns, table, tenant))
        out[table] = [tuple(json.loads(line)) for line in text.split("\n") if line]
    return out


def compare_here(scene, tenant="acme"):
    due, is_there = expected(scene), stored(scene, tenant)
    for table in due:
        missing, extra = [sorted(map(repr, set(a) - set(b))) for a, b in ((due[table], is_there[table]), (is_there[table], due[table]))]
        expect(sorted(map(repr, due[table])) == sorted(map(repr, is_there[table])), "%s: missing %s, extra %s" % (table, missing[:5], extra[:5]))


def verdict(move, status):
    code, out, err = move.command("verify", "--json")
    expect(code == status, "verify ended with status %d instead of %d\n%s%s" % (code, status, out, err))
    return json.loads(out)


def nothing_secret_on(scene):
    tables = scene.on_target("SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('public', 'crossfade')").split()
    expect("public.client" in tables and "crossfade.migration" in tables, "not all tables were looked through: %s" % tables)
    for table in tables:
        text = scene.on_target("SELECT t::text FROM %s t" % table)
        for secret in ("secret", "@", "+49", "fax", KEY):
            expect(secret not in text, "%s is in %s" % (secret, table))


@hazard()
def copy_and_log_transform_alike(scene):
    """Renamed, excluded, hashed, masked and cast columns: the same by both paths, in two modes, and for a second tenant in the same tables."""
    scene.schema(SCHEMA)
    for tenant, settings in (("acme", {"snapshot__mode": "chunked", "snapshot__chunk_rows": 100}), ("second", {"snapshot__mode": "chunked", "snapshot__chunk_rows": 100}), ("third", {})):
        move = transforming(scene, tenant, **settings)
        move.start()
        move.wait_phase("following")
        if tenant == "acme":
            scene.sql(CHANGES)
        else:
            scene.sql("UPDATE customer SET email = CONCAT(email, 'x'), code = code + 1; UPDATE heap SET b = CONCAT(b, '!') WHERE a = 3")
        move.wait_applied()
        compare_here(scene, tenant)
        outcome = verdict(move, 0)
        excluded = {table["table"]: table["excluded_columns"] for table in outcome["tables"]}
        expect(excluded == {"customer": ["fax"], "purchase": [], "heap": ["c"], "word": []}, "excluded: %s" % excluded)
        rows = {name.replace("client", "customer"): len(due) for name, due in expected(scene).items()}
        expect({table["table"]: table["source_rows"] for table in outcome["tables"]} == rows, "rows: %s" % outcome)
        move.stop()
    nothing_secret_on(scene)
    page, data = reporting.report(move)
    customer = {column["name"]: (column["target_name"], column["transform"]) for table in data["tables"] if table["source"] == "customer" for column in table["columns"]}
    expect(customer["fax"] == ("", "excluded") and customer["phone"] == ("tel", "masked") and customer["email"] == ("email", "hashed")
           and customer["score"] == ("score", "cast to numeric(20,4)") and customer["surname"] == ("last_name", ""), "the report says %s" % customer)
    expect("transform.columns.customer.fax" in page.words and "9 transformed, 2 excluded" in page.words
           and "2 columns excluded" in page.words and "customer.fax, heap.c." in page.words, "the page does not say what was transformed")
    index = scene.on_target("SELECT indexdef FROM pg_indexes WHERE tablename = 'client'")
    expect("(tenant_id, no)" in index and "(tenant_id, email)" in index and "fax" not in index, index)


@hazard()
def verify_and_repair_see_through_transforms(scene):
    """What somebody changes on the target in a transformed column is named, and mended to what the transform makes; not transformed twice."""
    scene.schema(SCHEMA)
    scene.sql("ANALYZE TABLE word")  # by its estimate it is compared in pages
    move = transforming(scene, verify__chunk_rows=100)
    move.start()
    move.wait_phase("following")
    scene.sql(CHANGES)
    move.wait_applied()
    scene.on_target("DELETE FROM word WHERE term = 'term 2'; UPDATE word SET note = 'x' WHERE term = 'Term 3'; INSERT INTO word (tenant_id, term) VALUES ('acme', 'TERM 4');"
                    "UPDATE client SET email = 'x' WHERE no = 1; UPDATE client SET tel = '+49 2' WHERE no = 2; UPDATE client SET zip = zip || ' ' WHERE no = 5;"
                    "UPDATE client SET score = score + 0.0001, code = code + 1, pin = 0 WHERE no = 8; DELETE FROM client WHERE no = 9;"
                    "INSERT INTO client (tenant_id, no, email) VALUES ('acme', 99999, 'extra');"
                    "UPDATE heap SET b = 'y' WHERE ctid = (SELECT min(ctid) FROM heap WHERE a = 4); INSERT INTO heap (tenant_id, a, b) VALUES ('acme', 4, NULL)")
    found = {}
    for table in verdict(move, 1)["tables"]:
        for difference in table["differences"]:
            found[(table["table"], difference["key"])] = (difference["kind"], sorted(cell["column"] for cell in difference["columns"]))
    named = {key: columns for (table, key), (kind, columns) in found.items() if kind == "different"}
    expect(named == {"id=1": ["email"], "id=2": ["phone"], "id=5": ["zip"], "id=8": ["code", "pin", "score"], "word='Term 3'": ["note"]}, "named: %s" % found)
    expect(found[("customer", "id=9")][0] == "missing" and found[("customer", "id=99999")][0] == "extra", "named: %s" % found)
    words = {key: kind for (table, key), (kind, _) in found.items() if table == "word"}
    expect(words == {"word='term 2'": "missing", "word='Term 3'": "different", "word='TERM 4'": "extra"}, "named: %s" % words)
    expect(sum(1 for table, _ in found if table == "heap") == 3, "named: %s" % found)
    move.stop()
    code, out, err = move.command("verify", "--repair", "--yes", "--overwrite-foreign", "--json")
    expect(code == 0, "repair ended with status %d\n%s%s" % (code, out, err))
    move.start()
    move.wait_phase("following")
    compare_here(scene)
    verdict(move, 0)


@hazard()
def transforms_that_changed_are_refused(scene):
    """Rows that were made by one rule and rows made by another would stand side by side."""
    scene.schema(SCHEMA)
    move = transforming(scene)
    code, out, err = move.command("check")
    expect(code == 0 and "CF1548" in out and "customer.by_fax" in out, "check ended with status %d\n%s%s" % (code, out, err))
    move.run_until_caught_up()

    def refused(code, key=None, **changed):
        settings, environment = dict(move.settings), dict(move.environment)
        for name, value in changed.items():
            name = name.replace("__", ".")
            if value is None:
                del move.settings[name]
            else:
                move.settings[name] = value
        if key is not None:
            move.environment["CROSSFADE_TEST_HASH_KEY"] = key
        if key == "":
            del move.environment["CROSSFADE_TEST_HASH_KEY"]
        move.write()
        for command in ("run", "verify"):
            status, out, err = move.command(command)
            expect(status == 3 and code in err, "%s ended with status %d, not %s:\n%s%s" % (command, status, code, out, err))
            expect(KEY not in err + out, "the key is shown:\n%s" % err)
        move.settings, move.environment = settings, environment
        move.write()

    refused("CF1728", transform__columns__customer__email=None)
    refused("CF1728", transform__columns__customer__phone={"name": "tel", "mask": "**"})
    refused("CF1728", transform__columns__customer__pin={"exclude": True})
    refused("CF1728", key="another key of acme")
    refused("CF1515", key="too short a key")
    refused("CF1706", key="")
    refused("CF1515", transform__hash_key_env=None)
    refused("CF1515", transform__columns__customer__id={"hash": True})
    refused("CF1515", transform__columns__purchase__customer_id={"exclude": True})
    refused("CF1517", transform__columns__customer__nobody={"hash": True})
    refused("CF1518", transform__columns__customer__surname={"name": "email"})
    refused("CF1702", transform__columns__customer__email={"hsah": True})
    refused("CF1703", transform__columns__customer__email={"hash": False})
    refused("CF1704", transform__columns__customer__email={"hash": True, "mask": "x"})
    scene.sql(CHANGES)
    move.run_until_caught_up()
    compare_here(scene)


@hazard()
def a_value_that_cannot_be_cast_stops_and_shows_no_other(scene):
    """Named by table, column and value, on both paths; and a divergence shows what the target's readers may see."""
    scene.schema(SCHEMA)
    scene.sql("UPDATE customer SET code = '12a' WHERE id = 5")
    move = transforming(scene)
    move.start("--until", "caught-up")
    expect(move.wait() == 5 and "CF1516" in move.log_tail() and "customer.code" in move.log_tail() and "12a" in move.log_tail(), move.log_tail())
    scene.sql("UPDATE customer SET code = '12' WHERE id = 5")
    code, out, err = move.command("abort", "--yes")
    expect(code == 0, "abort ended with status %d\n%s%s" % (code, out, err))
    move.run_until_caught_up()
    scene.on_target("DELETE FROM client WHERE no = 6")
    scene.sql("UPDATE customer SET email = 'changed@secret.example' WHERE id = 6")
    move.start("--until", "caught-up")
    expect(move.wait() == 5 and "CF1550" in move.log_tail() and hashed("changed@secret.example") in move.log_tail(), move.log_tail())
    expect("@secret" not in move.log_tail(20000), "a value that is hashed on the target is in the log:\n%s" % move.log_tail())
    move.settings["apply.on_divergence"] = "skip"
    move.write()
    move.run_until_caught_up()
    nothing_secret_on(scene)
    scene.sql("UPDATE customer SET code = 'b' WHERE id = 7")
    move.start("--until", "caught-up")
    expect(move.wait() == 5 and "CF1516" in move.log_tail(), move.log_tail())


@hazard()
def abort_takes_away_what_other_rules_made(scene):
    """Also when the rules were changed, the key is lost, or the source's table is gone; and nothing of another tenant."""
    scene.schema(SCHEMA)
    second = transforming(scene, "second")
    second.run_until_caught_up()
    move = transforming(scene)
    move.run_until_caught_up()
    before = stored(scene, "second")
    move.settings["transform.tables.customer"] = "kunde"
    del move.environment["CROSSFADE_TEST_HASH_KEY"]
    move.write()
    scene.sql("DROP TABLE word")
    code, out, err = move.command("abort", "--yes")
    expect(code == 0, "abort ended with status %d\n%s%s" % (code, out, err))
    left = stored(scene, "acme")
    expect(not any(left.values()), "left: %s" % {table: len(rows) for table, rows in left.items()})
    expect(before["client"] and stored(scene, "second") == before, "the other tenant's rows are not what they were")
    code, out, err = second.command("abort", "--yes")
    expect(code == 0, "abort ended with status %d\n%s%s" % (code, out, err))
    tables = scene.on_target("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").split()
    expect(not tables, "left: %s" % tables)


@hazard()
def a_generated_column_does_not_show_what_a_rule_hides(scene):
    scene.schema("CREATE TABLE person (id INT PRIMARY KEY, email VARCHAR(60), low VARCHAR(60) AS (LOWER(email)) STORED, length INT AS (id + 1) STORED);"
                 "INSERT INTO person (id, email) VALUES (1, 'A@secret.example')")
    move = scene.migration(transform__columns__person__email={"mask": "***"})
    code, out, err = move.command("run")
    expect(code == 1 and "CF1549 person.low" in err and "CF1549 person.length" not in err, "run ended with status %d\n%s%s" % (code, out, err))
    move.settings["transform.columns.person.low"] = {"exclude": True}
    move.write()
    move.run_until_caught_up()
    expect(scene.on_target("SELECT id, email, length FROM person").strip() == "1\t***\t2", scene.on_target("SELECT * FROM person"))
