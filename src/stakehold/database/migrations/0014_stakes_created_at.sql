-- The first 48 bits of a UUIDv7 are milliseconds since the Unix epoch.
UPDATE stakes SET created_at = to_timestamp((
    get_byte(decode(left(id::TEXT, 2), 'hex'), 0) * 1099511627776::INT8
    + get_byte(decode(substr(id::TEXT, 3, 2), 'hex'), 0) * 4294967296::INT8
    + get_byte(decode(substr(id::TEXT, 5, 2), 'hex'), 0) * 16777216::INT8
    + get_byte(decode(substr(id::TEXT, 7, 2), 'hex'), 0) * 65536::INT8
    + get_byte(decode(substr(id::TEXT, 10, 2), 'hex'), 0) * 256::INT8
    + get_byte(decode(substr(id::TEXT, 12, 2), 'hex'), 0))::FLOAT8 / 1000)
 WHERE created_at IS NULL
