INSERT INTO text_common VALUES (1, 'aä€😀', 'aä€', 'aä€', 'aä€😀', 'яЖ', 'ab   ', 'tiny', 'text', 'medium', 'long', REPEAT('ä', 300));
