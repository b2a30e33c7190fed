-- The default catalogue: 1, 3, 6 and 12 months at 3, 5, 8 and 12 % a year, from one minor unit up.
INSERT INTO plans (id, version, asset, scale, period_months, rate_ppm, minimum_minor, on_sale_from)
VALUES ('STK-1M', 1, 'STK', 8, 1, 30000, 1, TIMESTAMPTZ '2026-01-01 00:00:00+00:00'),
       ('STK-3M', 1, 'STK', 8, 3, 50000, 1, TIMESTAMPTZ '2026-01-01 00:00:00+00:00'),
       ('STK-6M', 1, 'STK', 8, 6, 80000, 1, TIMESTAMPTZ '2026-01-01 00:00:00+00:00'),
       ('STK-12M', 1, 'STK', 8, 12, 120000, 1, TIMESTAMPTZ '2026-01-01 00:00:00+00:00')
ON CONFLICT (id, version) DO NOTHING
