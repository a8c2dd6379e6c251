"""From a raw value to a number or an id: schema, encoding of raw rows, columns; the same for preparing and serving."""
