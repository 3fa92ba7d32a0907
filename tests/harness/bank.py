"""A bank: what it holds in total never changes, whatever its tellers do, and each transfer is counted.

So every consistent read of a copy of it can be judged without looking at the source: the money adds up, no counted transfer lacks
its two postings, none is there twice. Accounts change their keys, hand their unique handles on, and take their cards along (the
foreign keys' actions); the postings have no key and are only ever added to; the counters are `n = n + 1`.
"""

import threading
import time

import load

SCHEMA = """
CREATE TABLE accounts (id INT AUTO_INCREMENT PRIMARY KEY, handle INT, balance BIGINT NOT NULL, UNIQUE KEY handle (handle));
CREATE TABLE cards (id INT AUTO_INCREMENT PRIMARY KEY, account_id INT NOT NULL, held BIGINT NOT NULL,
  FOREIGN KEY (account_id) REFERENCES accounts (id) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE card_uses (card_id INT NOT NULL, number INT NOT NULL, place VARCHAR(20), PRIMARY KEY (card_id, number),
  FOREIGN KEY (card_id) REFERENCES cards (id) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE postings (account_id INT NOT NULL, amount BIGINT NOT NULL);
CREATE TABLE counters (id INT NOT NULL PRIMARY KEY, n BIGINT NOT NULL);
"""
TABLES = ["accounts", "cards", "card_uses", "postings", "counters"]
EACH = 1000


def create(server, database, accounts):
    """The bank's tables in a database that is there; `accounts` of them, each with a card."""
    server.client(SCHEMA, database)
    connection = server.connect(database)
    cursor = connection.cursor()
    numbers = list(range(1, accounts + 1))
    cursor.executemany("INSERT INTO accounts (id, handle, balance) VALUES (%s, %s, %s)", [(n, n, EACH) for n in numbers])
    cursor.executemany("INSERT INTO cards (id, account_id, held) VALUES (%s, %s, 0)", [(n, n) for n in numbers])
    cursor.executemany("INSERT INTO card_uses (card_id, number, place) VALUES (%s, 1, 'here')", [(n,) for n in numbers])
    # One that everybody counts in, and one for each teller.
    cursor.executemany("INSERT INTO counters (id, n) VALUES (%s, 0)", [(n,) for n in range(33)])
    connection.commit()
    connection.close()


class Teller(load.Worker):
    """One connection at work on the bank."""

    def ranges(self):
        self.do("SELECT COUNT(*) FROM accounts")
        self.accounts = self.cursor.fetchone()[0]
        # Keys nobody else will choose.
        self.do("SELECT GREATEST(MAX(a.id), (SELECT MAX(id) FROM cards)) FROM accounts a")
        self.fresh = 10**6 * (self.cursor.fetchone()[0] // 10**6 + 1) + 10**6 * 10 * self.number

    MIX = [("transfer", 50), ("fill_card", 15), ("use_card", 10), ("renumber", 6), ("renumber_card", 4), ("hand_over", 8), ("close", 5),
           ("move_card", 5), ("transfer_many", 3), ("change_mind", 4)]

    def one(self, sql, *values):
        if not self.do(sql, *values):
            raise load.Refused()
        return self.cursor.fetchone()

    def account(self, handle=None):
        """(key, balance) of one, locked."""
        return self.one("SELECT id, balance FROM accounts WHERE handle = %s FOR UPDATE", handle or self.random.randint(1, self.accounts))

    def two(self):
        a, b = sorted(self.random.sample(range(1, self.accounts + 1), 2))
        pair = [self.account(a)[0], self.account(b)[0]]
        self.random.shuffle(pair)
        return pair

    def fresh_key(self):
        self.fresh += 1
        return self.fresh

    def post(self, a, b, amount):
        self.do("UPDATE accounts SET balance = balance - %s WHERE id = %s", amount, a)
        self.do("UPDATE accounts SET balance = balance + %s WHERE id = %s", amount, b)
        self.do("INSERT INTO postings (account_id, amount) VALUES (%s, %s), (%s, %s)", a, -amount, b, amount)
        self.do("UPDATE counters SET n = n + 1 WHERE id = %s", self.number + 1)

    # -- a transaction each
    def transfer(self):
        a, b = self.two()
        self.post(a, b, self.random.randint(1, 90))
        self.do("UPDATE counters SET n = n + 1 WHERE id = 0")

    def transfer_many(self):
        for _ in range(20):
            self.transfer()

    def change_mind(self):
        self.transfer()
        raise load.Refused()

    def fill_card(self):
        key, amount = self.account()[0], self.random.randint(-50, 50)
        card = self.one("SELECT id FROM cards WHERE account_id = %s LIMIT 1 FOR UPDATE", key)[0]
        self.do("UPDATE accounts SET balance = balance - %s WHERE id = %s", amount, key)
        self.do("UPDATE cards SET held = held + %s WHERE id = %s", amount, card)

    def use_card(self):
        card = self.one("SELECT MAX(c.id) FROM cards c JOIN accounts a ON a.id = c.account_id WHERE a.handle = %s",
                        self.random.randint(1, self.accounts))[0]
        self.do("INSERT INTO card_uses (card_id, number, place) SELECT id, (SELECT COALESCE(MAX(number), 0) + 1 FROM card_uses u"
                " WHERE u.card_id = cards.id), %s FROM cards WHERE id = %s", self.text(10), card)

    def renumber(self):
        self.do("UPDATE accounts SET id = %s WHERE id = %s", self.fresh_key(), self.account()[0])  # its cards follow

    def renumber_card(self):
        self.do("UPDATE cards SET id = %s WHERE account_id = %s LIMIT 1", self.fresh_key(), self.account()[0])  # its uses follow

    def hand_over(self):
        a, b = self.two()
        handles = dict(self.rows("SELECT id, handle FROM accounts WHERE id IN (%s, %s)", a, b))
        self.do("UPDATE accounts SET handle = NULL WHERE id = %s", a)
        self.do("UPDATE accounts SET handle = %s WHERE id = %s", handles[a], b)
        self.do("UPDATE accounts SET handle = %s WHERE id = %s", handles[b], a)

    def move_card(self):
        a, b = self.two()
        self.do("UPDATE cards SET account_id = %s WHERE account_id = %s LIMIT 1", b, a)

    def close(self):
        """An account goes, with its cards and their uses; another takes its handle."""
        closed, heir = self.two()
        handle, left = self.one("SELECT handle, balance FROM accounts WHERE id = %s FOR UPDATE", closed)
        left += sum(row[0] for row in self.rows("SELECT held FROM cards WHERE account_id = %s FOR UPDATE", closed))
        self.do("UPDATE accounts SET balance = balance + %s WHERE id = %s", left, heir)
        self.do("DELETE FROM accounts WHERE id = %s", closed)
        key = closed if self.random.random() < 0.3 else self.fresh_key()
        self.do("INSERT INTO accounts (id, handle, balance) VALUES (%s, %s, 0)", key, handle)
        self.do("INSERT INTO cards (id, account_id, held) VALUES (%s, %s, 0)", self.fresh_key(), key)

    def rows(self, sql, *values):
        self.do(sql, *values)
        return self.cursor.fetchall()


# What one statement, that is one state of the target, says of one tenant's bank.
_AUDIT = """
SELECT (SELECT sum(balance) FROM accounts WHERE {0}) + (SELECT coalesce(sum(held), 0) FROM cards WHERE {0}),
  (SELECT count(*) FROM accounts WHERE {0}), (SELECT count(DISTINCT handle) FROM accounts WHERE {0}),
  (SELECT coalesce(sum(n), 0) FROM counters WHERE {0} AND id > 0), (SELECT coalesce(sum(n), 0) FROM counters WHERE {0} AND id = 0),
  (SELECT count(*) FROM postings WHERE {0}), (SELECT coalesce(sum(amount), 0) FROM postings WHERE {0}),
  (SELECT count(*) FROM cards c WHERE {0} AND NOT EXISTS (SELECT FROM accounts a WHERE a.{0} AND a.id = c.account_id)),
  (SELECT count(*) FROM card_uses u WHERE {0} AND NOT EXISTS (SELECT FROM cards c WHERE c.{0} AND c.id = u.card_id))
"""


def audit(cursor, accounts, tenant):
    """(what is wrong with the bank as this cursor's transaction sees it, or None; transfers it has seen)."""
    cursor.execute(_AUDIT.format("tenant_id = '%s'" % tenant))
    total, number, handles, counted, counted_by_all, postings, posted, cards, uses = map(int, cursor.fetchone())
    wrong = []
    if total != accounts * EACH:
        wrong.append("it holds %d instead of %d" % (total, accounts * EACH))
    if number != accounts or handles != accounts:
        wrong.append("%d accounts and %d handles instead of %d" % (number, handles, accounts))
    if counted != counted_by_all:
        wrong.append("the tellers counted %d transfers, all together %d" % (counted, counted_by_all))
    if postings != 2 * counted or posted:
        wrong.append("%d postings of %d transfers, with a sum of %d" % (postings, counted, posted))
    if cards or uses:
        wrong.append("%d cards without account, %d uses without card" % (cards, uses))
    return "; ".join(wrong) or None, counted


class Auditor(threading.Thread):
    """Audits a bank on the target over and over, each time in one state of it."""

    def __init__(self, target, database, accounts, tenant, pause_s=0.02):
        super().__init__(daemon=True)
        self.target, self.database, self.accounts, self.tenant, self.pause_s = target, database, accounts, tenant, pause_s
        self.audits = 0
        self.transfers = set()
        self.wrong = None
        self.stopping = False

    def run(self):
        try:
            connection = self.target.connect(self.database)
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            cursor = connection.cursor()
            while not self.stopping and not self.wrong:
                self.wrong, transfers = audit(cursor, self.accounts, self.tenant)
                # A second look at the same state: that it is one is the premise.
                again, _ = audit(cursor, self.accounts, self.tenant)
                self.wrong = self.wrong or again
                connection.commit()
                self.audits += 1
                self.transfers.add(transfers)
                time.sleep(self.pause_s)
            connection.close()
        except Exception as error:  # told by stop()
            self.wrong = "the audit failed: %s" % error

    def stop(self):
        """What was wrong, or None."""
        self.stopping = True
        self.join(60)
        return self.wrong
