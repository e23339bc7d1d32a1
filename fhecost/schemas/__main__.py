"""Write the schema files anew: ``python -m fhecost.schemas``."""

from fhecost.schemas import SCHEMAS, schema_path, schema_text

for name in SCHEMAS:
    schema_path(name).write_text(schema_text(name), encoding="utf-8")
