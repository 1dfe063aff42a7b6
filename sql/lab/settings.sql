-- What shops have set, as it is now.
SELECT shop_id, name, value
FROM settings
WHERE NOT deleted
ORDER BY shop_id, name
