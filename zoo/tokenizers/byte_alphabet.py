"""The alphabet of byte-level BPE: one printable character for each byte (GPT-2)."""

_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [b for b in range(256) if b not in _PRINTABLE]

CHARACTER_OF = {b: chr(b) for b in _PRINTABLE}
CHARACTER_OF.update((b, chr(256 + n)) for n, b in enumerate(_OTHERS))
BYTE_OF = {c: b for b, c in CHARACTER_OF.items()}
