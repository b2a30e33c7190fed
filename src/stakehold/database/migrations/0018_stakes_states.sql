ALTER TABLE stakes
  ADD CONSTRAINT stakes_state_known CHECK
    (state IN ('active', 'unstaking', 'paid_out', 'renewed', 'closed_early', 'cancelled')),
  ADD CONSTRAINT stakes_instruction_known CHECK
    (maturity_instruction IN ('payout', 'renew_principal', 'renew_all')),
  ADD CONSTRAINT stakes_end_known CHECK
    ((due_at IS NULL) = (ended_at IS NOT NULL)
     AND (due_at IS NULL) = (state IN ('paid_out', 'renewed', 'closed_early', 'cancelled')))
