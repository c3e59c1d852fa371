-- Replaces one profile by a tombstone. The lease goes, so that no load under way fills it again.
-- KEYS[1]: the profile. ARGV[1]: time to live, ms.
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 't', '1')
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
