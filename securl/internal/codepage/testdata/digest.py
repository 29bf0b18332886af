#!/usr/bin/env python3
"""Digests of the code page mappings, computed from the ucm files without the Go code.

    python3 testdata/digest.py DIRECTORY-OF-UCM-FILES > testdata/digests.txt

For each page, one line: number, SHA-256 of the encoding of all 65536 UTF-16 units, SHA-256 of
the decoding of all bytes and pairs of bytes. The digested text has a line for each unit:
"0041 41 E\n" (unit, bytes or 3F, E exact, B best fit or N none), and for each byte string that
means something: "41 0041\n".
"""
import hashlib
import os
import sys

for page in (437, 850, 874, 932, 936, 949, 950, *range(1250, 1259)):
    enc, dec = {}, {}
    with open(os.path.join(sys.argv[1], f"{page}.ucm")) as f:
        for line in f:
            if not line.startswith("<U"):
                continue
            unit, code, kind = line.split()
            unit = int(unit[2:-1], 16)
            code = code.replace("\\x", "")
            if kind == "|0":
                assert unit not in enc
                enc[unit] = code, "E"
            elif kind == "|1":
                assert unit not in enc
                enc[unit] = code, "B"
            else:
                assert kind == "|3"
            if kind in ("|0", "|3"):
                assert code not in dec
                dec[code] = unit
    one, two = hashlib.sha256(), hashlib.sha256()
    for unit in range(0x10000):
        code, fit = enc.get(unit, ("3F", "N"))
        one.update(f"{unit:04X} {code} {fit}\n".encode())
    for code in sorted(dec, key=lambda c: (len(c), c)):
        two.update(f"{code} {dec[code]:04X}\n".encode())
    print(page, one.hexdigest(), two.hexdigest())
