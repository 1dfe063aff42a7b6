-- Which abandonments a page of the list may show, oldest first, from a cursor on. A filter is off when its parameter is empty.
-- Nothing newer than `bound` (epoch milliseconds) is looked at, unless that is 0.
--
-- It may name too many (a row that is about to be replaced), never too few; `rows.sql` then looks at these alone. `search` is a
-- pattern for LIKE, in small letters.
SELECT DISTINCT shop_id, cart_id, abandonment_id, abandoned_at
FROM abandonments_log
WHERE ({bound:Int64} = 0 OR abandoned_at <= fromUnixTimestamp64Milli({bound:Int64}, 'UTC'))
    AND ({shop:String} = '' OR shop_id = {shop:String})
    AND ({state:String} = '' OR state = {state:String})
    AND ({stage:String} = '' OR stage = {stage:String})
    AND ({search:String} = '' OR search LIKE {search:String})
    AND ({cursor_id:String} = ''
        OR abandoned_at > fromUnixTimestamp64Milli({cursor_at:Int64}, 'UTC')
        OR abandoned_at = fromUnixTimestamp64Milli({cursor_at:Int64}, 'UTC') AND abandonment_id > {cursor_id:String})
ORDER BY abandoned_at, abandonment_id
LIMIT {limit:UInt32}
