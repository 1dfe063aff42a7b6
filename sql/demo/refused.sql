-- What was answered to the request to write by hand, and what lies in the dead letters.
SELECT 'request' AS what, words FROM messages WHERE request_id = 'demo-second-mail' AND type = 'message.suppressed'
UNION ALL
SELECT 'dead letter' AS what, reason AS words FROM dead_letters
