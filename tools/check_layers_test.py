#!/usr/bin/env python3
"""Breaks the include graph on purpose, one rule at a time, and expects check_layers.py to say so."""
import pathlib
import tempfile
import unittest

import check_layers

LAYERS = """
core = []
tensor = ["core"]
model = ["core", "tensor"]
[owners]
"sqlite3.h" = ["tensor/store.cc"]
"""
GOOD = {
    "core/a.h": "#include <vector>\n",
    "tensor/b.h": '#include "core/a.h"\n',
    "tensor/store.cc": '#include <sqlite3.h>\n#include "tensor/b.h"\n',
    "model/c.h": '#include "tensor/b.h"\n',
}


class CheckLayers(unittest.TestCase):
    def problems(self, changes=None, layers=LAYERS):
        with tempfile.TemporaryDirectory() as folder:
            src = pathlib.Path(folder)
            (src / "layers.toml").write_text(layers)
            for name, text in {**GOOD, **(changes or {})}.items():
                (src / name).parent.mkdir(exist_ok=True)
                (src / name).write_text(text)
            return check_layers.check(src)

    def expect(self, problem, *args, **kwargs):
        found = self.problems(*args, **kwargs)
        self.assertEqual(len(found), 1, found)
        self.assertIn(problem, found[0])

    def test_good_tree_passes(self):
        self.assertEqual(self.problems(), [])

    def test_include_of_a_module_outside_the_list_is_refused(self):
        self.expect('core/a.h:2: core may not include "tensor/b.h"', {"core/a.h": '// first\n#include "tensor/b.h"\n',
                                                                     "tensor/b.h": ""})

    def test_indirect_permission_is_no_permission(self):
        layers = LAYERS.replace('model = ["core", "tensor"]', 'model = ["tensor"]')
        self.expect("core is not in its list", {"model/c.h": '#include "core/a.h"\n'}, layers)

    def test_third_party_header_outside_its_owner_is_refused(self):
        self.expect("belongs to tensor/store.cc", {"model/c.h": "  # include <sqlite3.h>\n"})

    def test_unknown_third_party_header_is_refused(self):
        self.expect("has no owner", {"core/a.h": "#include <zlib.h>\n"})

    def test_folder_that_is_no_module_is_refused(self):
        self.expect("extra/: not a module", {"extra/d.h": ""})

    def test_include_that_does_not_exist_is_refused(self):
        self.expect("does not exist", {"core/a.h": '#include "a.h"\n'})

    def test_cycle_of_modules_is_refused(self):
        self.expect("must stand above it", layers=LAYERS.replace("core = []", 'core = ["model"]'))

    def test_cycle_of_files_is_refused(self):
        self.expect("core/a.h -> core/z.h -> core/a.h",
                    {"core/a.h": '#include "core/z.h"\n', "core/z.h": '#include "core/a.h"\n'})


if __name__ == "__main__":
    unittest.main()
