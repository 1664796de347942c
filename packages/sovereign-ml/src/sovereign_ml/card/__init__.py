"""The model card that answers GDPR Article 22: schema, derived status, rules, questions, approval, promotion."""
