UPDATE stakes SET
    value_date = (stakes.created_at AT TIME ZONE 'UTC')::DATE,
    origin_date = (stakes.created_at AT TIME ZONE 'UTC')::DATE,
    origin_months = p.period_months,
    maturity_date = ((stakes.created_at AT TIME ZONE 'UTC')::DATE + p.period_months * INTERVAL '1 month')::DATE,
    due_at = ((stakes.created_at AT TIME ZONE 'UTC')::DATE + p.period_months * INTERVAL '1 month') AT TIME ZONE 'UTC'
  FROM plans p
 WHERE p.id = stakes.plan_id AND p.version = stakes.plan_version AND stakes.value_date IS NULL
