-- The fingerprints of a shop's codes, with the pool of each.
SELECT DISTINCT pool, fingerprint
FROM offer_codes_log
WHERE shop_id = {shop:String} AND what = 'added'
