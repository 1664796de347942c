"""Model card for GDPR Article 22: schema, derived status, rules, questions, approval, promotion."""
