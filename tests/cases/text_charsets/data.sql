INSERT INTO text_charsets VALUES (1, 'aä€😀', 'aä€', 'aä€', 'aáő', 'aяЖ', 'aアｱ', 'a中文', 'aä€😀', 'aяЖ', 'plain');
