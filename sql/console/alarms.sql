-- Alarms that are open, the newest first: opened, and not closed.
SELECT alert_id, shop_id, since, occurred_at AS opened_at, words
FROM alerts
WHERE type = 'alert.opened'
    AND alert_id NOT IN (SELECT alert_id FROM alerts_log WHERE type = 'alert.closed')
ORDER BY opened_at DESC, alert_id
LIMIT 20
