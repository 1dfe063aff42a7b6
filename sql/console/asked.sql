-- The own words a reminder was asked for with, by the person and the id of the request.
SELECT message
FROM subscriber_events_log
WHERE shop_id = {shop_id:String} AND subscriber_id = {subscriber_id:String} AND event_id = {request_id:String}
LIMIT 1
