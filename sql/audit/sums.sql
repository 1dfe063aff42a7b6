-- How many plans came to which end, and why.
SELECT standing, reason, count() AS plans
FROM ({plans})
GROUP BY standing, reason
ORDER BY standing, reason
