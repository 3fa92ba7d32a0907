INSERT INTO wide_unicode VALUES (3, '👨‍👩‍👧‍👦'), (4, '‮right'), (5, '﻿bom'), (6, '퟿￿'), (7, '\'\"\\\%\_');
UPDATE wide_unicode SET s = CONCAT(s, '𐍈') WHERE id = 1;
