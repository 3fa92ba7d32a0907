UPDATE joined_a JOIN joined_b ON joined_b.aid = joined_a.id SET joined_a.v = joined_a.v + 10, joined_b.v = joined_b.v + 100;
DELETE joined_a, joined_b FROM joined_a JOIN joined_b ON joined_b.aid = joined_a.id WHERE joined_a.id = 2;
INSERT INTO joined_b SELECT id + 10, id, v FROM joined_a;
